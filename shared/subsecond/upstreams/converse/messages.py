"""Anthropic's Messages on Bedrock: Claude's own requests and answers, unchanged, in the envelope of InvokeModel.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from subsecond.errors import UpstreamError
from subsecond.model import Call, Chunk
from subsecond.streaming.events import parsed
from subsecond.streaming.json_bytes import dump
from subsecond.upstreams.converse.event_stream import DONE, EventStreamSplitter

# The one that Bedrock knows; the client's own is the API's.
VERSION = "bedrock-2023-05-31"
_BETA = b"anthropic-beta"


def invoke_request(call: Call) -> bytes:
    """The body of InvokeModel: the client's, with the version and the betas, which are headers elsewhere. The model is
    in the path, and whether it streams."""
    betas = [name.strip() for field, value in call.headers if field == _BETA for name in value.decode().split(",")]
    body = {name: value for name, value in call.body.items() if name not in ("model", "stream")}
    return dump({"anthropic_version": VERSION, **({"anthropic_beta": betas} if betas else {}), **body})


class MessagesSplitter(EventStreamSplitter):
    """Claude's own events, as they were said. Damaged ones raise ValueError."""

    def take(self, kind: str, event: Mapping[str, Any]) -> list[Chunk]:
        if kind != "chunk":
            return []  # kinds that are still to come
        payload = b64decode(event["bytes"])
        value = parsed(payload)
        name = value.get("type") if isinstance(value, dict) else None
        self.finished = name == "message_stop"
        said = Chunk(payload, name=name.encode() if isinstance(name, str) else b"")
        # Nothing is waited for behind the last event.
        return [said, DONE] if self.finished else [said]

    def failed(self, error: UpstreamError) -> Chunk:
        told = {"type": "error", "error": error.body()["error"]}
        return Chunk(dump(told), name=b"error")
