"""What the small model's server refuses where llama.cpp's would answer something else.

llama.cpp looks at no model's name, and hands tools to a template that drops them: whoever has mistyped a name, or waits
for a call, would believe that all is well.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from subsecond.errors import UpstreamError
from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.names import refusal
from subsecond_local.simulator.simulated_answer import as_json

Refuse = Callable[[str, bytes], tuple[int, bytes] | None]
_NONE = ("none", {"type": "none"})


def refusals(model: str) -> Refuse:
    """`refuse(path, body)`: the status and the body of the refusal, None for what this model's server may see."""

    def refuse(path: str, body: bytes) -> tuple[int, bytes] | None:
        error = _error(model, _object(body))
        if error is None:
            return None
        dialect = DIALECTS["messages" if path.startswith("/v1/messages") else "chat"]
        return error.status, as_json(dialect.error_body(error))

    return refuse


def _object(body: bytes) -> dict[str, Any]:
    """Empty where it is none: what is wrong with it, the server itself says."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error(model: str, body: dict[str, Any]) -> UpstreamError | None:
    if "model" in body and body["model"] != model:
        words = f"The model {str(body['model'])[:100]!r} does not exist. There is {model}."
        return refusal(words, status=404, param="model", code="model_not_found")
    if body.get("tools") and body.get("tool_choice") not in _NONE:
        words = f"{model} is too small to call tools. UPSTREAM=simulator make run has models that do."
        return refusal(words, param="tools", code="unsupported_parameter")
    return None
