"""The corpus of replies, streams and errors (`tests/data/shapes`): what goes over the wire, and what a reader hears."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FILES = sorted((Path(__file__).parents[1] / "data" / "shapes").glob("*.json"))
TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
LISTS = ("annotations", "images", "reasoning_details")
ENDS = ("finish_reason", "stop_reason", "matched_stop", "native_finish_reason", "seed")


def corpus() -> dict[str, dict[str, Any]]:
    """Every shape by its name."""
    return {shape["name"]: shape for path in FILES for shape in json.loads(path.read_text())}


def wire(shape: dict[str, Any]) -> bytes:
    """The whole HTTP response: a body with its length, an event stream in chunks."""
    body = _body(shape)
    head = [f"HTTP/1.1 {shape['status']} X", *(f"{name}: {value}" for name, value in shape["headers"].items())]
    if "json" in shape or "body" in shape:
        head.append(f"content-length: {len(body)}")
    else:
        head.append("transfer-encoding: chunked")
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    return "\r\n".join([*head, "connection: close", "", ""]).encode("latin-1") + body


def _body(shape: dict[str, Any]) -> bytes:
    if "events" in shape:
        return b"".join(b"data: %b\n\n" % _text(payload) for payload in shape["events"])
    text = shape.get("raw_stream", shape.get("body"))
    return _text(shape["json"] if text is None else text)


def _text(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def said(answer: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What a reader hears of one whole reply, or of all chunks of a stream: per choice its texts, calls, end and log
    probabilities; and the usage. Pieces are put together by index, as openai-python's accumulator does; where an id or
    a name comes again, or another id comes at an index, that one glues them together, and whoever uses it does not."""
    usage: Any = None
    choices: dict[int, dict[str, Any]] = {}
    for chunk in answer:
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or usage
        for at, choice in enumerate(chunk.get("choices") or []):
            index = choice.get("index")
            _hear(choices.setdefault(at if index is None else index, {"calls": _Calls()}), choice)
    told = {index: {**kept, "calls": kept["calls"].told()} for index, kept in choices.items()}
    # Half a character in one chunk and half in the next are one character in a whole text.
    return json.loads(json.dumps({"usage": usage, "choices": told}))


def _hear(kept: dict[str, Any], choice: dict[str, Any]) -> None:
    part = choice.get("delta") or choice.get("message") or {}
    texts = part if "delta" in choice or "message" in choice else {"content": choice.get("text")}
    lists = {f"logprobs.{name}": items for name, items in (choice.get("logprobs") or {}).items()}
    for name, piece in [*((name, texts.get(name)) for name in (*TEXTS, *LISTS)), *lists.items()]:
        if piece:
            kept[name] = kept[name] + piece if name in kept else piece
    kept.update((name, choice[name]) for name in ENDS if choice.get(name) is not None)
    if call := part.get("function_call"):
        kept["calls"].add({"index": "function", "function": call})
    for call in part.get("tool_calls") or []:
        kept["calls"].add(call)


class _Calls:
    def __init__(self) -> None:
        self._at: dict[Any, dict[str, Any]] = {}  # the last call of each index
        self._all: list[dict[str, Any]] = []

    def add(self, piece: dict[str, Any]) -> None:
        identity, index = piece.get("id") or "", piece.get("index")
        kept = self._at.get(index)
        if kept is None or index is None or (identity and identity != kept["id"]):
            kept = self._at[index] = {"id": identity, "name": "", "arguments": ""}
            self._all.append(kept)
        function = piece.get("function") or {}
        kept["name"] = kept["name"] or function.get("name") or ""
        kept["arguments"] += function.get("arguments") or ""
        if more := piece.get("extra_content"):
            kept["extra_content"] = more

    def told(self) -> list[dict[str, Any]]:
        return self._all
