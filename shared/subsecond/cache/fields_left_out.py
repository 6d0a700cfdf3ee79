"""The fields that cannot change an answer, and so are no part of a key: one table, with a reason for each.

Clients send a user's name, marks for a prefix cache, labels for a log. With these in the key equal questions of two
users, or of one user with two clients, never meet. What a field does is known where a reference says it: so the table
goes by the kind of the upstream. Everything that is not in it counts, unknown fields included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

# Whose reference holds. `unknown`: any other server that speaks OpenAI's dialect.
Kind = Literal["openai", "azure", "bedrock", "anthropic", "simulator", "unknown"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_DOCUMENTED: Final[frozenset[Kind]] = frozenset({"openai", "azure", "bedrock", "anthropic", "simulator"})
_ANY: Final[frozenset[Kind]] = frozenset(KINDS)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """kinds: the upstreams where it cannot change an answer. reason: why not, as docs/cache-control.md has it."""

    kinds: frozenset[Kind]
    reason: str


TABLE: Final[Mapping[str, LeftOut]] = {
    "user": LeftOut(_DOCUMENTED, "a name for the provider's watch on abuse; elsewhere it may choose a memory"),
    "metadata": LeftOut(_DOCUMENTED, "labels of a stored object; elsewhere they may steer a memory or a prompt"),
    "client_metadata": LeftOut(_DOCUMENTED, "what Codex says of itself: its installation, session and turn"),
    "safety_identifier": LeftOut(_ANY, "a hashed user for the provider's watch on abuse, and for nothing else"),
    "prompt_cache_key": LeftOut(_ANY, "which machine's prefix cache is tried: when the answer comes, not what it says"),
    "prompt_cache_retention": LeftOut(_ANY, "how long the prefix stays cached"),
    "prompt_cache_options": LeftOut(_ANY, "how the prefix is cached, and for how long"),
    "service_tier": LeftOut(_DOCUMENTED, "how soon it is worked on, and at what price; it parts flights"),
}
# Where they are left out of the key, calls with other values still share no upstream call: nobody waits for a slower
# tier, nor pays for a dearer one.
PARTS_FLIGHTS: Final = ("service_tier",)
# Without one of these nothing is left of the question.
_ALWAYS_COUNT: Final = frozenset({"model", "messages", "prompt", "input"})


def left_out(kinds: Iterable[Kind], changes: str = "") -> frozenset[str]:
    """The fields that count for none of these upstreams. changes: `SUBSECOND_KEY_IGNORES`, the owner's own."""
    asked = tuple(kinds)
    table = {name for name, field in TABLE.items() if field.kinds.issuperset(asked)}
    added, taken = read_changes(changes)
    return frozenset((table | added) - taken)


def read_changes(text: str) -> tuple[set[str], set[str]]:
    """`trace_id,-user`: the fields that are left out beside the table's, and those that count after all. ValueError."""
    added: set[str] = set()
    taken: set[str] = set()
    for part in filter(None, map(str.strip, text.split(","))):
        name = part.removeprefix("-").strip()
        if not name or name in _ALWAYS_COUNT:
            raise ValueError(f"SUBSECOND_KEY_IGNORES: {part[:80]!r} cannot be left out; name a field, or -FIELD")
        if part.startswith("-") and name not in TABLE:
            raise ValueError(f"SUBSECOND_KEY_IGNORES: {name[:80]!r} counts anyway; known: {', '.join(TABLE)}")
        (taken if part.startswith("-") else added).add(name)
    return added, taken
