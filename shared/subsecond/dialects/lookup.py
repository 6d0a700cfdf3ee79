"""The dialect of a call. A file is imported when its dialect is first asked for: chat loads no other."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from subsecond.dialects.chat import DIALECT as CHAT
from subsecond.dialects.dialect import Dialect
from subsecond.model import Endpoint, Form, Recording

_known: dict[Endpoint, Dialect] = {"chat": CHAT}
# Where the file has another name than the endpoint.
_FILES: dict[Endpoint, str] = {"text": "completions"}


def dialect_of(endpoint: Endpoint) -> Dialect:
    """The one that this endpoint speaks."""
    found = _known.get(endpoint)
    if found is None:
        name = _FILES.get(endpoint, endpoint)
        found = _known[endpoint] = import_module(f"subsecond.dialects.{name}").DIALECT
    return found


def recorded(endpoint: Endpoint, form: Form, payloads: Iterable[bytes], *, ended: bool = True) -> Recording:
    """The payloads with their index, read in the endpoint's dialect. Never raises."""
    return dialect_of(endpoint).recorded(form, payloads, ended=ended)
