"""What the optimiser did, in figures. It holds no text of the client's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RuleSavings:
    """What one level saved. edits: places changed or removed. chars, tokens: fewer by so many; tokens if counted."""

    name: str
    edits: int
    chars: int
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class OptimiserReport:
    """`before` and `after` are tokens of the whole call by `counter`, None where nothing needed counting.

    prefixes: hashes of tools and messages before the newest user turn, before and after: what a provider may have
    cached. They differ where an edit was made; the edit of a message is the same in every call, so that what is sent
    stays the same from call to call. Reckoned when asked for (0.4 ms for 64 KB): few clients want the trace.
    `pinned`: messages kept byte for byte because the caller marked them.
    """

    level: str
    rules: tuple[RuleSavings, ...] = ()
    before: int | None = None
    after: int | None = None
    counter: str = ""
    factor: float = 1.0
    prefixes: Callable[[], tuple[str, str]] = lambda: ("", "")
    pinned: int = 0
    markers: tuple[str, ...] = ()
    uncounted: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def prefix_before(self) -> str:
        return self.prefixes()[0]

    @property
    def prefix_after(self) -> str:
        return self.prefixes()[1]

    @property
    def edits(self) -> int:
        return sum(rule.edits for rule in self.rules)

    @property
    def chars(self) -> int:
        """Characters that are not sent."""
        return sum(rule.chars for rule in self.rules)

    def counts(self) -> dict[str, int]:
        """For the trace's counters: only what happened."""
        counts = {f"optimise_{rule.name}": rule.edits for rule in self.rules if rule.edits}
        if self.before is not None and self.after is not None and self.before > self.after:
            counts["optimise_tokens_saved"] = self.before - self.after
        return counts

    def description(self) -> str:
        """For `Server-Timing`'s `desc`: the level, and what it saved. Letters, digits and signs that need no escape."""
        if self.before is not None and self.after is not None and self.after != self.before:
            return f"{self.level} {self.before}>{self.after} tokens"
        return f"{self.level} -{self.chars} chars" if self.chars else self.level

    def public(self, usage: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """For the trace that a client asked for. `usage` is what came back: with it come the cached tokens."""
        rules = [
            {"rule": rule.name, "edits": rule.edits, "chars": rule.chars, "tokens": rule.tokens}
            for rule in self.rules
            if rule.edits
        ]
        before, after = self.prefixes()
        return {
            "level": self.level,
            "rules": rules,
            "tokens_before": self.before,
            "tokens_after": self.after,
            "counter": self.counter or None,
            "prefix_before": before or None,
            "prefix_after": after or None,
            "pinned_messages": self.pinned,
            "markers": list(self.markers),
            "uncounted": list(self.uncounted),
            "skipped": self.skipped or None,
            "cached_tokens": cached_tokens(usage),
        }


def cached_tokens(usage: Mapping[str, Any] | None) -> int | None:
    """Prompt tokens that the provider read from its prefix cache, by its own count: OpenAI's, Anthropic's, Bedrock's
    and DeepSeek's names. None where it said nothing."""
    usage = usage or {}
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    counts = [details.get("cached_tokens")] if isinstance(details, Mapping) else []
    counts += [usage.get(n) for n in ("cache_read_input_tokens", "cacheReadInputTokens", "prompt_cache_hit_tokens")]
    return next((n for n in counts if isinstance(n, int) and not isinstance(n, bool)), None)
