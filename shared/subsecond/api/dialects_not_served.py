"""What a client is told that speaks a dialect which is not served: how it speaks chat completions instead.

Two SDKs turn a bare 404 into "model not found"; so the answer is in the dialect's own shape, and names the one change
that the client at hand needs.
"""

from __future__ import annotations

import json

from starlette.responses import Response

from subsecond.api.errors import error_response
from subsecond.errors import DialectNotSpoken, NotFound, SubsecondError
from subsecond.model import Endpoint

# What a client's User-Agent begins with or holds, and its remedy. The first that fits is named.
REMEDIES = (
    ("agents/", "set_default_openai_api('chat_completions') in the Agents SDK"),
    ("pydantic-ai", "OpenAIChatModel, or the model's prefix `openai-chat:`, in pydantic-ai"),
    ("ai-sdk", "openai.chat(MODEL) in place of openai(MODEL) in the Vercel AI SDK"),
    ("langchain", "use_responses_api=False in LangChain"),
    ("codex", 'wire_api = "chat" for the provider in Codex'),
    ("openai/", "client.chat.completions.create in the openai package"),
)
SERVED = {"responses": "OpenAI's Responses", "messages": "Anthropic's Messages"}


def dialect_of(path: str) -> str:
    """The dialect whose path that is; empty where it is none of them."""
    first, _, rest = path.removeprefix("/v1/").partition("/")
    return first if path.startswith("/v1/") and first in SERVED and "/" not in rest else ""


def refusal(dialect: str, agent: str, request_id: str) -> Response:
    """404 in the dialect's shape. agent: the request's User-Agent."""
    words = f"{SERVED[dialect]} API is not served here; chat completions are. {_remedy(dialect, agent.lower())}"
    if dialect == "messages":
        error = {"type": "not_found_error", "message": words}
        body = json.dumps({"type": "error", "error": error, "request_id": request_id})
        return Response(body, 404, {"x-request-id": request_id}, media_type="application/json")
    return error_response(NotFound(words, code="api_not_served"), request_id)


def with_remedy(error: DialectNotSpoken, endpoint: Endpoint, agent: str) -> SubsecondError:
    """The error, with what its client can do instead; the same where nothing is known to help."""
    if endpoint not in SERVED:
        return error
    told = NotFound(f"{error.message} Chat completions may be. {_remedy(endpoint, agent.lower())}", code=error.code)
    told.route = error.route
    return told


def _remedy(dialect: str, agent: str) -> str:
    if dialect == "messages":
        return "Let the client use an OpenAI provider, with a base URL that ends in /v1."
    fitting = next((remedy for sign, remedy in REMEDIES if sign in agent), None)
    if fitting:
        return f"Use {fitting}."
    return f"Use {'; '.join(remedy for _, remedy in REMEDIES)}."
