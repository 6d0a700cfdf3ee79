"""Which answers may be stored, and for how long. The one place that decides it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache

from subsecond.config import Settings
from subsecond.dialects.lookup import dialect_of
from subsecond.model import Call, Prompt, Recording

# Seconds. Answers are dated by their request: who wants a younger one than that could wait for one that is too old
# when it is complete.
SHARED_AGE = 60.0
# Seconds that an answer lives at most whose key has a time masked.
CLOCK_LIFE = 3_600.0
# Characters of what can be a question alone.
QUESTION = 500
# A text that is longer is not compared with others: it would be embedded in part only, and bloat the item.
COMPARED_TEXT = 8_000
# The finish reasons of a complete answer. `length` and calls of tools count: the limits and the tools are in the key.
# Not: `content_filter`, `refusal`, `empty`, `unknown`, nor any word that is not known here.
COMPLETE = frozenset({"stop", "length", "tool_calls", "function_call"})


def may_read(call: Call) -> bool:
    """Who has the upstream keep the answer expects an object there, which no stored answer makes; who names an object
    asks for what the request does not say; and what has an upstream's tools act at somebody else's acts each time."""
    return call.rules.read and not _has_state(call)


def _has_state(call: Call) -> bool:
    state = dialect_of(call.endpoint).state(call.body)
    return state in ("names", "acts") or (state == "makes" and call.rules.objects)


def may_compare(call: Call, text: str, *, tools: bool = False) -> bool:
    """Whether the answer to a similar question could do: one answer in words, to a text that is compared whole. Calls
    with tools act; what is nearly the same call may not be the same act. tools: they may be attached, for the model to
    use or not (`SUBSECOND_SEMANTIC_TOOLS`): the scope has the very same ones, and `may_serve_others` no calls."""
    rules = call.rules
    if not text or len(text) > COMPARED_TEXT or not rules.similar or not (rules.read or rules.write):
        return False
    if _has_state(call):
        return False
    dialect = dialect_of(call.endpoint)
    return dialect.is_one(call.body) and not _wants_more_than_words(call, tools=tools) and not dialect.goes_on(text)


def _wants_more_than_words(call: Call, *, tools: bool) -> bool:
    """Whether its answer is not a text for a reader, or is about this very text."""
    body, dialect = call.body, dialect_of(call.endpoint)
    acts = (name for name in dialect.acts if not (tools and name == "tools"))
    if any(body.get(name) for name in acts) or any(map(dialect.forces, map(body.get, dialect.choices))):
        return True
    if dialect.wants_probabilities(body):
        return True
    # `logprobs: 0` asks for the chosen token's; False is no number to us.
    of_this_text = map(body.get, dialect.of_this_text)
    return any(value is not None and value is not False and value != "" for value in of_this_text)


def may_serve_others(recording: Recording) -> bool:
    """Whether similar questions may be answered with it: words that were finished, not cut by a limit. Some servers
    end a call of a tool with `stop`."""
    return recording.finish == "stop" and not recording.acts


def may_coalesce(call: Call) -> bool:
    """Whether it may share an upstream call with others who ask the same now: its answer could be stored and read, so
    one serves all. Several choices (`n`) are asked for to differ."""
    rules = call.rules
    if not (rules.coalesce and may_read(call) and rules.write) or rules.only_if_cached:
        return False
    if rules.max_age is not None and rules.max_age < SHARED_AGE:
        return False
    return dialect_of(call.endpoint).is_one(call.body)


def may_store(call: Call, recording: Recording) -> bool:
    """What could be served to somebody else: complete answers only."""
    return call.rules.write and recording.finish in COMPLETE and not _has_state(call)


def lifetime(settings: Settings, call: Call, prompt: Prompt) -> float:
    """Seconds that the answer is kept: the shortest that a rule for its model or tags, the request, a masked time
    or a question of the day wants; the settings' `ttl` where no rule speaks. 0: it is not stored."""
    names = {"model": (call.model,), "tag": call.rules.tags}
    wanted = [
        seconds
        for kind, pattern, seconds in ttl_rules(settings.ttl_rules)
        if any(fnmatchcase(name, pattern) for name in names[kind])
    ] or [settings.ttl]
    if call.rules.ttl is not None:
        wanted.append(call.rules.ttl)
    if prompt.clocks:
        wanted.append(CLOCK_LIFE)
    if _is_of_the_day(prompt.text):
        wanted.append(settings.timebound_ttl)
    return min(wanted)


def _is_of_the_day(text: str) -> bool:
    """A short question about now. "Today" in a page of text says nothing about the question."""
    if not 0 < len(text) <= QUESTION:
        return False
    from subsecond.cache.timebound import timebound  # its table, which a hit does not need

    return timebound(text)


def longest_life(settings: Settings) -> float:
    """Seconds after which no answer can be left."""
    return max([settings.ttl, *(seconds for _, _, seconds in ttl_rules(settings.ttl_rules))])


@lru_cache(maxsize=8)
def ttl_rules(text: str) -> tuple[tuple[str, str, float], ...]:
    """`model:PATTERN=SECONDS,tag:PATTERN=SECONDS` as (kind, pattern, seconds); ValueError names the part that is none.
    A pattern's `*` stands for any characters."""
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        place, _, seconds = part.rpartition("=")
        kind, _, pattern = place.strip().partition(":")
        if kind not in ("model", "tag") or not pattern or not seconds.strip().isdecimal():
            raise ValueError(f"SUBSECOND_TTL_RULES: {part!r} is not `model:NAME=SECONDS` or `tag:NAME=SECONDS`")
        found.append((kind, pattern, float(seconds)))
    return tuple(found)
