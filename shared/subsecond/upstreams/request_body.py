"""What is sent of a call: the client's own bytes where nothing in them is edited, and `include_usage` on streams."""

from __future__ import annotations

import json
from collections import OrderedDict
from time import time

from subsecond.dialects.lookup import dialect_of
from subsecond.errors import UpstreamError
from subsecond.model import Call
from subsecond.streaming.json_bytes import names_twice

# Seconds for which a server is taken to refuse `stream_options`: it may be updated any day.
REMEMBERED = 6 * 3600.0
MAX_MODELS = 1024

_REFUSALS = range(400, 500)
_USAGE = {"include_usage": True}
_ADDED = b'"stream_options":{"include_usage":true},'
_encode = json.JSONEncoder(separators=(",", ":")).encode


class UsageRefusals:
    """The models whose server refuses `stream_options`, of one upstream. The one asked longest ago goes first."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, model: str) -> bool:
        until = self._until.get(model)
        if until is None:
            return False
        if time() >= until:  # the monotonic clock may stand still in a frozen Lambda environment
            del self._until[model]
            return False
        self._until.move_to_end(model)
        return True

    def add(self, model: str) -> None:
        """It was asked again without, and answered."""
        self._until[model] = time() + REMEMBERED
        self._until.move_to_end(model)
        if len(self._until) > MAX_MODELS:
            self._until.popitem(last=False)


def adds_usage(call: Call) -> bool:
    """Whether the client has not asked for usage itself, on a stream that tells none unasked."""
    if call.form != "stream" or not dialect_of(call.endpoint).asks_for_usage:
        return False
    return (call.stream_options or {}).get("include_usage") is not True


def names_it(error: UpstreamError) -> bool:
    """Whether the server refuses the request for `stream_options`, or for what is in it."""
    if error.status not in _REFUSALS:
        return False
    said = f"{error.message} {error.error}"
    return "stream_options" in said or "include_usage" in said


def request_body(call: Call, *, usage: bool) -> bytes:
    """JSON. usage: whether the count is asked for where the client did not."""
    add = usage and adds_usage(call)
    raw = call.raw
    # Looked at here and not where it is parsed: a hit forwards nothing, and need not pay for it.
    if raw and raw.parsed is call.body and raw.model == call.model and not names_twice(raw.data):
        if not add:
            return raw.data
        if b'"stream_options"' not in raw.data:
            start = raw.data.find(b"{") + 1
            return raw.data[:start] + _ADDED + raw.data[start:]
    fields = {**call.body, "model": call.model}
    if call.form == "stream":
        fields["stream"] = True
        if options := {**(call.stream_options or {}), **(_USAGE if add else {})}:
            fields["stream_options"] = options
    return _encode(fields).encode()
