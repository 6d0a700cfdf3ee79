"""What a client is told that speaks a dialect which is not served: how it speaks one that is.

Two SDKs turn a bare 404 into "model not found"; so the answer is in the dialect's own shape, and names the one change
that the client at hand needs.
"""

from __future__ import annotations

from subsecond.dialects.lookup import dialect_of
from subsecond.errors import DialectNotSpoken, NotFound, SubsecondError
from subsecond.model import Endpoint

# What a client's User-Agent begins with or holds, and its remedy. The first that fits is named.
REMEDIES = (
    ("agents/", "set_default_openai_api('chat_completions') in the Agents SDK"),
    ("pydantic-ai", "OpenAIChatModel, or the model's prefix `openai-chat:`, in pydantic-ai"),
    ("ai-sdk", "openai.chat(MODEL) in place of openai(MODEL) in the Vercel AI SDK"),
    ("langchain", "use_responses_api=False in LangChain"),
    # Its `wire_api = "chat"` is gone (0.122).
    ("codex", "a model whose upstream speaks Responses with Codex, which speaks nothing else"),
    ("openai/", "client.chat.completions.create in the openai package"),
)
# Those of whose clients something is known to help.
HELPED = ("responses", "messages")


def with_remedy(error: DialectNotSpoken, endpoint: Endpoint, agent: str) -> SubsecondError:
    """The error, with what its client can do instead; the same where nothing is."""
    if "chat" in error.spoken and endpoint in HELPED:
        remedy = f"Chat completions may be. {_remedy(endpoint, agent.lower())}"
    else:
        names = [dialect_of(one).name for one in error.spoken if one not in (endpoint, "embeddings")]
        if not names or endpoint == "embeddings":
            return error
        remedy = f"{' and '.join(names)} may be."
    told = NotFound(f"{error.message} {remedy}", code=error.code)
    told.route = error.route
    return told


def _remedy(dialect: str, agent: str) -> str:
    if dialect == "messages":
        return "Let the client use an OpenAI provider, with a base URL that ends in /v1."
    fitting = next((remedy for sign, remedy in REMEDIES if sign in agent), None)
    if fitting:
        return f"Use {fitting}."
    return f"Use {'; '.join(remedy for _, remedy in REMEDIES)}."
