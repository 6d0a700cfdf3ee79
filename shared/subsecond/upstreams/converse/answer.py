"""Converse's whole reply to OpenAI's, and the tables that its stream shares."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from subsecond.errors import UpstreamError
from subsecond.model import Endpoint
from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump
from subsecond.upstreams.converse.content import REASONING_SEALED, REASONING_TEXT

# Any other stop reason is passed on as it is, and nothing is stored then.
FINISH: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
MALFORMED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
# Names the shape of `reasoning_details`, for a client that knows several.
REASONING_FORMAT: Final = "bedrock-converse-v1"
_OBJECTS: Final = {"chat": ("chat.completion", "chat.completion.chunk"), "text": ("text_completion",) * 2}
_PREFIX: Final = {"chat": "chatcmpl-", "text": "cmpl-"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What every payload of one answer says. schema_tool: see `request.Asked`."""

    endpoint: Endpoint
    model: str
    request_id: str
    created: int
    schema_tool: str | None = None

    def fields(self, *, chunk: bool) -> dict[str, Any]:
        identity = _PREFIX[self.endpoint] + self.request_id
        name = _OBJECTS[self.endpoint][chunk]
        return {"id": identity, "object": name, "created": self.created, "model": self.model}


def whole_reply(frame: Frame, body: bytes) -> bytes:
    """OpenAI's body. UpstreamError where Converse's is none, or holds what OpenAI's form has no place for."""
    value = parsed(body)
    try:
        blocks, reason = value["output"]["message"]["content"], str(value["stopReason"])
        said = _Message(frame.schema_tool)
        for at, block in enumerate(blocks):
            said.add(at, block)
    except (KeyError, TypeError) as error:
        raise UpstreamError("Bedrock's answer is not one of Converse.", code="upstream_no_answer") from error
    message = said.whole()
    finish = finish_reason(reason, calls=bool(message.get("tool_calls")))
    if frame.endpoint == "text":
        choice = {"index": 0, "text": message["content"] or "", "logprobs": None, "finish_reason": finish}
    else:
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    whole = {**frame.fields(chunk=False), "choices": [choice]}
    return dump({**whole, "usage": usage(value["usage"])} if value.get("usage") else whole)


class _Message:
    """A message as its blocks come. schema_tool: see `Frame`."""

    def __init__(self, schema_tool: str | None) -> None:
        self._schema_tool = schema_tool
        self._texts: list[str] = []
        self._calls: list[dict[str, Any]] = []
        self._details: list[dict[str, Any]] = []
        self._takes: Mapping[str, Callable[[int, Any], None]] = {
            "text": lambda _, text: self._texts.append(text),
            "citationsContent": lambda _, said: self._texts.extend(part["text"] for part in said["content"]),
            "reasoningContent": lambda at, said: self._details.append(_detail(said, at)),
            "toolUse": lambda _, use: self._use(use),
        }

    def add(self, at: int, block: Mapping[str, Any]) -> None:
        kind = next((name for name in self._takes if name in block), None)
        if kind is None:
            raise UpstreamError(f"Bedrock's answer has a block of an unknown kind: {', '.join(block)[:80]}.")
        self._takes[kind](at, block[kind])

    def _use(self, use: Mapping[str, Any]) -> None:
        written = dump(use["input"]).decode()
        if use["name"] == self._schema_tool:
            self._texts.append(written)
        else:
            self._calls.append(tool_call(use, written))

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._texts) if self._texts else None}
        if self._calls:
            message["tool_calls"] = self._calls
        if self._details:
            text = "".join(one.get("text", "") for one in self._details)
            message |= {"reasoning_content": text, "reasoning_details": self._details}
        return message


def _detail(block: Mapping[str, Any], index: int) -> dict[str, Any]:
    if "redactedContent" in block:
        return sealed(block["redactedContent"], index)
    said = block["reasoningText"]
    return thought(said["text"], said.get("signature"), index)


def thought(text: str, signature: str | None, index: int) -> dict[str, Any]:
    """An item of `reasoning_details`. index: the block's place in the model's message, where it must stand again."""
    return {
        "type": REASONING_TEXT, "text": text, "signature": signature, "format": REASONING_FORMAT, "index": index,
    }  # fmt: skip


def sealed(data: str, index: int) -> dict[str, Any]:
    return {"type": REASONING_SEALED, "data": data, "format": REASONING_FORMAT, "index": index}


def tool_call(use: Mapping[str, Any], arguments: str = "") -> dict[str, Any]:
    return {"id": use["toolUseId"], "type": "function", "function": {"name": use["name"], "arguments": arguments}}


def finish_reason(reason: str, *, calls: bool) -> str:
    """calls: whether a tool of the client's is called; the schema's own tool is none. UpstreamError where the model
    made a mistake."""
    if reason in MALFORMED:
        raise UpstreamError(f"The model's answer is malformed ({reason}).", code=reason)
    if reason == "tool_use" and not calls:
        return "stop"
    return FINISH.get(reason, reason)


def usage(counted: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI counts the tokens of the prefix cache among the prompt's, Converse beside them."""
    read, written = counted.get("cacheReadInputTokens") or 0, counted.get("cacheWriteInputTokens") or 0
    prompt, completion = counted.get("inputTokens", 0) + read + written, counted.get("outputTokens", 0)
    found = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    if "cacheReadInputTokens" in counted or "cacheWriteInputTokens" in counted:
        found["prompt_tokens_details"] = {"cached_tokens": read, "cache_write_tokens": written}
    return found


def joined_base64(pieces: Sequence[str]) -> bytes:
    return b"".join(map(b64decode, pieces))
