"""What is said to a question: thoughts, calls, JSON or words, in the order in which they are said.

A thought comes first where the request asks for one. A function is called once for each time that the user's last turn
names it, and when `tool_choice` demands it; nothing is called where a tool's result came last, unless it is demanded.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import TYPE_CHECKING

from subsecond_local.simulator.names import refusal
from subsecond_local.simulator.schemas import fits, made
from subsecond_local.simulator.simulated_answer import Choice, Finish, Part, encode
from subsecond_local.simulator.simulated_judge import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from subsecond_local.simulator.names import Profile
    from subsecond_local.simulator.question import Question, Tool

THOUGHT = "The user asks something simple, so a short answer will do."
_TEXT = (
    "the river carries cold water past old stone houses and every morning a small boat brings fresh bread while people "
    "talk about rain or the long road north where winter comes early so they keep wood near doors light lamps at dusk "
    "then read letters from far cities until night is quiet again"
)
_WORDS = tuple(_TEXT.split())
_GLYPHS = ("你好", "世界", "。", "日本語", "テスト", "안녕", "é", "n\u0303", "🙂", "👩‍👩‍👧", "🇪🇺", "ß", "Ω", "𝄞")
_SENTENCE = 9
_PIECE = 6
# A turn that names a function a thousand times is none that asks for a thousand calls.
_MOST_CALLS = 8


def compose(question: Question, seed: bytes, model: Profile, faults: Mapping[str, float]) -> Choice:
    """One choice. UpstreamError 400 where the schema cannot be met."""
    if "empty" in faults:
        return Choice((), "stop")
    thoughts = (Part("thought", tuple(_pieces_of_words(THOUGHT))),) if question.thinks else ()
    if calls := calls_of(question, seed):
        return Choice((*thoughts, *calls), "tool_calls")
    pieces, finish, stop = _said(question, seed, model, faults)
    return Choice((*thoughts, Part("text", pieces)), finish, stop)


def calls_of(question: Question, seed: bytes) -> list[Part]:
    """The calls that are made of a question; none where words are said. UpstreamError as `compose`."""
    return [_call(tool, seed, number) for number, tool in enumerate(_called(question))]


def _called(question: Question) -> list[Tool]:
    tools = {tool.name: tool for tool in question.tools}
    if not tools or question.choice == "none":
        return []
    forced = tools.get(question.choice)
    allowed = {forced.name: forced} if forced else tools
    called = [allowed[name] for name in _named(question.turn, tuple(allowed))]
    if not called and question.choice != "auto":
        called = [forced or question.tools[0]]
    return called[: _MOST_CALLS if question.parallel else 1]


def _named(turn: str, names: tuple[str, ...]) -> list[str]:
    """The names that the turn has as words of their own, in any case, as often as it has them."""
    either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    found = re.finditer(rf"(?<![\w-])(?:{either})(?![\w-])", turn, re.IGNORECASE)
    spelled = {name.lower(): name for name in names}
    # A few letters fold into one of another lower case.
    said = (spelled.get(match[0].lower(), names[0]) for match in found)
    return list(itertools.islice(said, _MOST_CALLS))


def _call(tool: Tool, seed: bytes, number: int) -> Part:
    try:
        arguments = made(tool.schema or {"type": "object"}, seed + b"%d" % number, _WORDS)
    except ValueError as error:
        raise _unmet(f"the parameters of {tool.name}", error, "tools") from error
    return Part("call", _cut(encode(arguments)), tool.name)


def _said(
    question: Question, seed: bytes, model: Profile, faults: Mapping[str, float]
) -> tuple[tuple[str, ...], Finish, str | None]:
    """Its pieces, why it ends there, and the text that has ended it."""
    if "judge" in faults:
        return (verdict(question.turn),), "stop", None
    pieces = _words(seed, model, faults) if question.schema is None else _json(question.schema, seed)
    finish: Finish = "stop"
    if question.limit is not None and len(pieces) > question.limit:
        pieces, finish = pieces[: question.limit], "length"
    if "filter" in faults:
        return pieces[: int(faults["filter"])], "content_filter", None
    return _stopped(pieces, finish, question.stops)


def _stopped(
    pieces: tuple[str, ...], finish: Finish, stops: tuple[str, ...]
) -> tuple[tuple[str, ...], Finish, str | None]:
    text = "".join(pieces)
    found = min(((at, stop) for stop in stops if (at := text.find(stop)) >= 0), default=None)
    if found is None:
        return pieces, finish, None
    ends = itertools.accumulate(len(piece) for piece in pieces)
    kept = [
        piece[: max(0, len(piece) - (end - found[0]))] if end > found[0] else piece
        for piece, end in zip(pieces, ends, strict=True)
    ]
    return tuple(piece for piece in kept if piece), "stop", found[1]


def _words(seed: bytes, model: Profile, faults: Mapping[str, float]) -> tuple[str, ...]:
    noise = hashlib.shake_256(seed).digest(model.tokens)
    if "unicode" in faults:
        return tuple(_GLYPHS[value % len(_GLYPHS)] for value in noise)
    return tuple(itertools.starmap(_token, enumerate(noise)))


def _token(at: int, value: int) -> str:
    place = at % _SENTENCE
    word = _WORDS[value % len(_WORDS)]
    word = word.capitalize() if place == 0 else word
    return f"{' ' if at else ''}{word}{'.' if place == _SENTENCE - 1 else ''}"


def _json(schema: object, seed: bytes) -> tuple[str, ...]:
    try:
        value = made(schema, seed, _WORDS)
        if not fits(value, schema):
            raise ValueError("it asks for what the simulator does not make")  # noqa: TRY301 - one way out for all
    except ValueError as error:
        raise _unmet("the schema of the answer", error, "response_format") from error
    return _cut(json.dumps(value, ensure_ascii=False))


def _unmet(what: str, error: ValueError, param: str) -> Exception:
    return refusal(f"The simulator cannot meet {what}: {error}.", param=param, code="invalid_json_schema")


def _cut(text: str) -> tuple[str, ...]:
    return tuple(text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _pieces_of_words(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]
