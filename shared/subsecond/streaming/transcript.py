"""What an upstream said, chunk by chunk: tidied for the client, and kept whole for the cache.

Each payload is parsed once. It is passed on byte for byte unless it needs mending: another id than the first chunk's,
a first delta without a role, a `usage` that belongs into a chunk of its own.
"""

from __future__ import annotations

import json
from typing import Any

from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.model import Answer, Chunk, Endpoint

# Strings that name a thing: repeated by some upstreams in each delta, never to be joined.
IDENTITIES = frozenset({"id", "type", "role", "name"})
# From most to least storable; of several choices the least storable finish reason speaks for the answer.
FINISHES = ("stop", "length", "tool_calls", "function_call")
UNFINISHED = "unknown"
# What every chunk of an answer carries; an upstream's other fields (such as its timings) come once.
EVERY_CHUNK = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier"})

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dump(value: Any) -> bytes:
    """Compact JSON. A lone surrogate, which JSON's escapes can carry but UTF-8 cannot, stays an escape."""
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


class Transcript:
    """Joins one streamed answer. `usage` is the upstream's own count, None until it came."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._top: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self.usage: dict[str, Any] | None = None

    def add(self, payload: bytes) -> Chunk | None:
        """The chunk for the client, or None when there is nothing to pass on (usage comes at the end).

        Raises UpstreamError when the payload is an error or no chunk at all.
        """
        chunk = _parse(payload)
        mended = "usage" in chunk
        usage = chunk.pop("usage", None)
        if isinstance(usage, dict):
            self.usage = usage
        mended = self._mend_top(chunk) or mended
        choices = chunk.get("choices") or []
        for choice in choices:
            mended = self._add_choice(choice) or mended
        if not choices and usage is not None:
            return None
        return Chunk(dump(chunk) if mended or b"\n" in payload or b"\r" in payload else payload)

    def usage_chunk(self) -> Chunk | None:
        """The last chunk: `choices: []` and the usage, for clients that asked for it."""
        if self.usage is None:
            return None
        frame = {name: value for name, value in self._frame().items() if name in EVERY_CHUNK}
        return Chunk(dump({**frame, "object": self._chunk_object(), "choices": [], "usage": self.usage}), usage=True)

    def answer(self) -> Answer:
        """The whole, once the upstream has said `[DONE]`."""
        choices = [self._choices[index].whole(index, self._endpoint) for index in sorted(self._choices)]
        whole = {**self._frame(), "object": self._whole_object(), "choices": choices}
        if self.usage is not None:
            whole["usage"] = self.usage
        first = self._choices.get(0)
        return Answer(
            body=dump(whole),
            pieces=tuple(map(len, first.pieces)) if first else (),
            finish=least_storable([choice["finish_reason"] for choice in choices]),
            model=str(whole.get("model", "")),
        )

    def _mend_top(self, chunk: dict[str, Any]) -> bool:
        mended = False
        if chunk.get("object") == "chat.completion":  # a whole reply where a stream was asked for
            chunk["object"] = self._chunk_object()
            mended = True
        identity = self._top.get("id")
        self._top.update(chunk)
        if identity is not None and chunk.get("id") != identity:
            chunk["id"] = self._top["id"] = identity
            mended = True
        return mended

    def _add_choice(self, choice: dict[str, Any]) -> bool:
        index = choice.get("index") or 0
        kept = self._choices.get(index)
        first = kept is None
        if kept is None:
            kept = self._choices[index] = _Choice()
        kept.finish = choice.get("finish_reason") or kept.finish
        if choice.get("logprobs"):
            kept.logprobs = merged(kept.logprobs, choice["logprobs"])
        if self._endpoint == "text":
            kept.pieces.append(choice.get("text") or "")
            return False
        mended = _message_to_delta(choice)
        delta = choice.get("delta") or {}
        if first and "role" not in delta:
            delta = choice["delta"] = {"role": "assistant", **delta}
            mended = True
        kept.add(delta)
        return mended

    def _frame(self) -> dict[str, Any]:
        return {name: value for name, value in self._top.items() if name != "choices"}

    def _chunk_object(self) -> str:
        return "chat.completion.chunk" if self._endpoint == "chat" else "text_completion"

    def _whole_object(self) -> str:
        return "chat.completion" if self._endpoint == "chat" else "text_completion"


class _Choice:
    """One choice as it grows: `pieces` of its text, everything else of its deltas in `rest`."""

    __slots__ = ("finish", "logprobs", "pieces", "rest")

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.rest: dict[str, Any] = {}
        self.finish: str | None = None
        self.logprobs: Any = None

    def add(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if name == "content" and isinstance(value, str):
                if value:
                    self.pieces.append(value)
            elif name != "content" and value is not None:
                self.rest[name] = value if name in IDENTITIES else merged(self.rest.get(name), value)

    def whole(self, index: int, endpoint: Endpoint) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "finish_reason": self.finish, "logprobs": self.logprobs}
        text = "".join(self.pieces)
        if endpoint == "text":
            return {"text": text, **choice}
        silent = not text and ("tool_calls" in self.rest or "function_call" in self.rest)
        message = {"role": "assistant", "content": None if silent else text, **self.rest}
        if "tool_calls" in message:
            message["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in message["tool_calls"]]
        return {**choice, "message": message}


def _parse(payload: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(payload)
    except (ValueError, RecursionError):
        raise UpstreamUnreachable("The model's stream broke off: an event is not JSON.") from None
    if not isinstance(chunk, dict):
        raise UpstreamUnreachable("The model's stream broke off: an event is not an object.")
    if error := chunk.get("error"):
        detail = error if isinstance(error, dict) else {"message": str(error)}
        raise UpstreamError("The model reported an error.", error=detail)
    if not all(isinstance(choice, dict) for choice in chunk.get("choices") or []):
        raise UpstreamUnreachable("The model's stream broke off: a choice is not an object.")
    return chunk


def _message_to_delta(choice: dict[str, Any]) -> bool:
    """Turns a whole reply's choice into a streamed one, in place."""
    message = choice.pop("message", None)
    if not isinstance(message, dict):
        return False
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message = {**message, "tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}
    choice["delta"] = message
    return True


def merged(have: Any, more: Any) -> Any:
    """Two deltas of one field joined: strings and lists grow, objects field by field, list items by their `index`."""
    if have is None:
        return more
    if isinstance(have, str) and isinstance(more, str):
        return have + more
    if isinstance(have, dict) and isinstance(more, dict):
        grown = dict(have)
        for name, value in more.items():
            if value is not None:
                grown[name] = (have.get(name) or value) if name in IDENTITIES else merged(have.get(name), value)
        return grown
    if isinstance(have, list) and isinstance(more, list):
        return _merged_lists(have, more)
    return more


def _merged_lists(have: list[Any], more: list[Any]) -> list[Any]:
    """In place: `have` is the transcript's own, and copied for each chunk a list costs the square of its length."""
    if not any(isinstance(item, dict) and "index" in item for item in more):
        have += more
        return have
    grown = have
    places = {item["index"]: at for at, item in enumerate(grown) if isinstance(item, dict) and "index" in item}
    for item in more:
        at = places.get(item.get("index")) if isinstance(item, dict) else None
        if at is None:
            grown.append(item)
        else:
            grown[at] = {**merged(grown[at], item), "index": item["index"]}
    return grown


def least_storable(finishes: list[str | None]) -> str:
    """`unknown` when a choice never finished or there is none; a reason outside FINISHES beats those in it."""
    if not finishes or None in finishes:
        return UNFINISHED
    ranks = {finish: rank for rank, finish in enumerate(FINISHES)}
    return max((str(finish) for finish in finishes), key=lambda finish: ranks.get(finish, len(FINISHES)))
