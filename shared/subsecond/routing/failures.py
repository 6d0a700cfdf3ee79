"""What a failed call says: whether another model may do better, and whether the model is to blame."""

from __future__ import annotations

import re
from http import HTTPStatus
from time import time

from subsecond.errors import ContextLengthExceeded, DeadlineExceeded, DialectNotSpoken, SubsecondError, UpstreamError

# Statuses below 500 that another model may not answer with: it was slow (408), too early (425) or busy (429).
ELSEWHERE = frozenset({408, 425, 429})
# An upstream's own words, in an error of any status, for what another model would say too.
FINAL_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_request_error"})
# And for a request that is too long for this model: OpenAI's code, llama.cpp's type.
FULL_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
# Others say it in words alone: vLLM, SGLang, llama.cpp, Mistral (context ...); Anthropic, Bedrock, Fireworks (prompt,
# input is too long); Gemini (input token count); Cohere (too many tokens); Text Generation Inference and Together
# (`inputs` tokens + `max_new_tokens` must be <= ...).
FULL_WORDS = re.compile(
    r"context (?:length|window|size|limit)|(?:prompt|input) is too long|input token count|too many tokens"
    r"|`inputs` tokens",
    re.IGNORECASE,
)
# Statuses with which they do: bad request, too large, unprocessable.
REFUSED = frozenset({400, 413, 422})


def is_full(error: BaseException) -> bool:
    """Whether the request, or what it asks for, is too long for the model's window."""
    if isinstance(error, ContextLengthExceeded):
        return True
    if not isinstance(error, SubsecondError):
        return False
    said = error.body()["error"]
    if said.get("code") in FULL_CODES or said.get("type") in FULL_CODES:
        return True
    return error.status in REFUSED and bool(FULL_WORDS.search(str(said.get("message"))))


def worth_another(error: BaseException) -> bool:
    """Whether another model may do better. Not so where the request is at fault, or no time is left."""
    if not isinstance(error, SubsecondError) or isinstance(error, DeadlineExceeded):
        return False
    if is_full(error) or isinstance(error, DialectNotSpoken):
        return True
    said = error.body()["error"]
    if said.get("code") in FINAL_CODES or said.get("type") in FINAL_CODES:
        return False
    return error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status in ELSEWHERE


def is_the_models(error: BaseException) -> bool:
    """Whether the model has failed: neither the request is at fault nor its length, whatever the status says it in."""
    return worth_another(error) and not is_full(error) and not isinstance(error, DialectNotSpoken)


def wished_rest(error: SubsecondError) -> float | None:
    """Seconds for which the server wants peace: `retry-after-ms` (OpenAI, Azure) is the exact one. None where it does
    not say."""
    said = dict(error.headers) if isinstance(error, UpstreamError) else {}
    exact = seconds_of(said.get(b"retry-after-ms", b"").decode("latin-1"))
    if exact is not None:
        return exact / 1_000
    return seconds_of(error.retry_after or said.get(b"retry-after", b"").decode("latin-1"))


def seconds_of(retry_after: str | None) -> float | None:
    """`Retry-After` (RFC 9110, section 10.2.3): seconds or a date. None where there is none, or it is neither."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime  # 10 ms for what hardly any server sends

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except ValueError:
        return None
