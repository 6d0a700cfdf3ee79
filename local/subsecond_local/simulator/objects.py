"""What a server keeps and lists: models in either dialect, and responses."""

from __future__ import annotations

import re
from typing import Any

from subsecond.errors import UpstreamError
from subsecond_local.simulator.memory import SimulatedMemory
from subsecond_local.simulator.names import profile, refusal

# Some of the names, since all of them would not end.
MODELS = ("sim-t50-i5-n32", "sim-t300-i20-n256", "sim-t0-i0-n32")
_MODEL = re.compile(r"/models/([^/]+)")
_RESPONSE = re.compile(r"/responses/([^/]+)(/input_items)?")
_CREATED = "2026-01-01T00:00:00Z"


def found(memory: SimulatedMemory, method: str, path: str, *, anthropic: bool = False) -> dict[str, Any] | None:
    """The object at a path below `/v1`, None where the path is of none. UpstreamError when it is not there, or may not
    be asked so."""
    if path == "/models":
        _only(method, "GET", path)
        return _models(anthropic=anthropic)
    if match := _MODEL.fullmatch(path):
        _only(method, "GET", path)
        profile(match[1])
        return _model(match[1], anthropic=anthropic)
    if match := _RESPONSE.fullmatch(path):
        return _response(memory, method, match[1], items=match[2] is not None)
    return None


def _only(method: str, allowed: str, path: str) -> None:
    if method not in allowed.split(" or "):
        raise refusal(f"{path} wants {allowed}.", status=405, code="method_not_allowed")


def _models(*, anthropic: bool) -> dict[str, Any]:
    data = [_model(name, anthropic=anthropic) for name in MODELS]
    if anthropic:
        return {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
    return {"object": "list", "data": data}


def _model(name: str, *, anthropic: bool) -> dict[str, Any]:
    if anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": _CREATED}
    return {"id": name, "object": "model", "created": 0, "owned_by": "simulator"}


def _response(memory: SimulatedMemory, method: str, identity: str, *, items: bool) -> dict[str, Any]:
    _only(method, "GET" if items else "GET or DELETE", f"/responses/{identity}")
    kept = memory.response(identity)
    if kept is None:
        raise _missing(identity)
    if method == "DELETE":
        memory.forget(identity)
        return {"id": identity, "object": "response", "deleted": True}
    if not items:
        return kept.response
    # The latest first, as with OpenAI.
    data = [{"id": f"item_{identity}{at}", **item} for at, item in enumerate([*kept.before, *kept.input])][::-1]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, "has_more": False, **ends}


def _missing(identity: str) -> UpstreamError:
    return refusal(f"Response with id '{identity}' not found.", status=404)
