"""From one form of an answer to the other, where nothing is lost and nothing has to be guessed.

What a field becomes stands in one table (`convert_fields.py`); whatever is not in it declines, and the answer is asked
for in the other form. Pure, and linear in the payloads' bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from subsecond.model import Endpoint
from subsecond.streaming.convert_fields import FRAME, Declined, is_empty, list_, object_, place
from subsecond.streaming.events import parsed
from subsecond.streaming.joining import OBJECTS, Joined
from subsecond.streaming.json_bytes import dump

Names: TypeAlias = tuple[str, ...]

# Characters of one piece of text in a stream that was made of a whole reply. It is written at once, so small pieces
# would only cost their frames.
PIECE: Final = 1_000
# What a choice's last chunk carries beside the finish reason.
_AT_THE_END: Final[Names] = ("stop_reason", "matched_stop", "native_finish_reason", "seed")
# At the top of one chunk: these come with the first, the others with the last that has a choice.
_FIRST: Final[Names] = ("prompt_filter_results", "prompt_annotations", "x_groq")
_LAST: Final[Names] = (
    "citations", "search_results", "related_questions", "images", "moderation", "timings", "perf_metrics"
)  # fmt: skip
_TEXTS: Final[Names] = ("reasoning_content", "reasoning", "content", "refusal")


def to_whole(endpoint: Endpoint, payloads: Iterable[bytes]) -> bytes | None:
    """The body of the whole reply; None where a payload does not go over, or there is no choice."""
    joined = Joined(endpoint)
    try:
        for payload in payloads:
            joined.add(_readable(payload))
        return dump(joined.whole())
    except (Declined, RecursionError):
        return None


def to_stream(endpoint: Endpoint, body: bytes) -> tuple[bytes, ...] | None:
    """The payloads of a stream that says the same, its usage last in a chunk without choices; None where the body does
    not go over."""
    try:
        value = _readable(body)
        _check_order(value)
        # A whole reply is a stream of one event: by the same table it is checked and tidied.
        joined = Joined(endpoint)
        joined.add(value)
        whole = joined.whole()
        return tuple(map(dump, _chunks(endpoint, whole)))
    except (Declined, RecursionError):
        return None


def converts(endpoint: Endpoint, payload: bytes) -> bool:
    """Whether a streamed payload, looked at alone, goes over. `to_whole` may still decline what comes together."""
    try:
        Joined(endpoint, alone=True).add(_readable(payload))
    except (Declined, RecursionError):
        return False
    return True


def _readable(payload: bytes) -> dict[str, Any]:
    """An error needs no look of its own: its fields are in no table."""
    return object_(parsed(payload))


def _check_order(value: dict[str, Any]) -> None:
    """Of a whole reply: each choice once, with a message and no delta."""
    choices = list_(value.get("choices") or [])
    if any(object_(choice).get("delta") for choice in choices):
        raise Declined("delta")
    if len({place(choice.get("index"), at) for at, choice in enumerate(choices)}) < len(choices):
        raise Declined("index")


def _chunks(endpoint: Endpoint, whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    frame = {**{name: whole[name] for name in FRAME if name in whole}, "object": OBJECTS[endpoint][1]}
    choices = _chat if endpoint == "chat" else _text
    told = [piece for choice in whole["choices"] for piece in choices(choice)]
    for at, choice in enumerate(told):
        more = {name: whole[name] for name in _FIRST if at == 0 and name in whole}
        more |= {name: whole[name] for name in _LAST if at == len(told) - 1 and name in whole}
        yield {**frame, **more, "choices": [choice]}
    if "usage" in whole:
        yield {**frame, "choices": [], "usage": whole["usage"]}


def _chat(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its streamed pieces: the role, each text, the sources, the calls, the end."""
    message, index, logprobs = choice["message"], choice["index"], choice["logprobs"]
    opening = {name: "" for name in _TEXTS if message.get(name) == ""}
    opening |= {"reasoning_details": message["reasoning_details"]} if "reasoning_details" in message else {}
    content = "" if isinstance(message["content"], str) else None
    yield _delta(index, {"role": message["role"], "content": content, **opening})
    for name in _TEXTS:
        beside = _beside(choice) if name == "content" else {}
        for piece in pieces(message.get(name) or "", whole=bool(logprobs)):
            said, logprobs = (logprobs, None) if name in ("content", "refusal") else (None, logprobs)
            yield {**_delta(index, {name: piece}, said), **beside}
    for name in ("annotations", "images", "function_call"):
        if value := message.get(name):
            yield _delta(index, {name: value})
    if calls := message.get("tool_calls"):
        yield _delta(index, {"tool_calls": [{"index": at, **call} for at, call in enumerate(calls)]})
    beside = {} if message["content"] else _beside(choice)
    yield {**_delta(index, {}, logprobs), **beside, **_end(choice)}


def _text(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    index, logprobs, beside = choice["index"], choice["logprobs"], _beside(choice)
    for piece in pieces(choice["text"], whole=bool(logprobs)):
        yield {"index": index, "text": piece, "logprobs": logprobs, "finish_reason": None, **beside}
        logprobs = None
    yield {"index": index, "text": "", "logprobs": logprobs, **({} if choice["text"] else beside), **_end(choice)}


def _delta(index: int, delta: dict[str, Any], logprobs: Any = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}


def _beside(choice: dict[str, Any]) -> dict[str, Any]:
    """What stands beside each piece of text."""
    name = "content_filter_results"
    return {} if is_empty(choice.get(name)) else {name: choice[name]}


def _end(choice: dict[str, Any]) -> dict[str, Any]:
    more = {name: choice[name] for name in _AT_THE_END if not is_empty(choice.get(name))}
    return {"finish_reason": choice["finish_reason"], **more}


def pieces(text: str, *, whole: bool = False) -> Iterator[str]:
    """The text in pieces of whole words, or in one: what is said of its tokens then stands beside it."""
    at, size = 0, len(text) if whole else PIECE
    while at < len(text):
        end = text.rfind(" ", at, at + size) + 1 if at + size < len(text) else len(text)
        end = end if end > at else at + size
        yield text[at:end]
        at = end
