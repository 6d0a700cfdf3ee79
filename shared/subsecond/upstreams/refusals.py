"""What an upstream's error status becomes for the client: its own status, words and headers, but for our key."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus

from subsecond.errors import UpstreamError
from subsecond.streaming.disguise import completed, error_in, words_of
from subsecond.streaming.events import parsed
from subsecond.upstreams.http.exchange import Fields
from subsecond.upstreams.http.response_headers import kept_headers

# Bytes of an error's body that are read: what is behind them no client shows.
MAX_ERROR = 1024 * 1024
# A key shorter than that is no secret: local servers are given words like `none` or `EMPTY`, which answers may hold.
SECRET = 16

# The first status that is the server's fault.
_FAILED = 500
# Characters of an upstream's words in the log, and of an error that is not in OpenAI's form.
_LOGGED, _SHOWN = 300, 2000
# Words of servers that refuse the key with another status than 401: Google's 400, xAI's, proxies'.
_OF_A_KEY = re.compile(
    rb"invalid_api_key|API_KEY_INVALID|(?:incorrect|invalid) api key|api key not valid", re.IGNORECASE
)
_MAY_BE_OF_A_KEY = frozenset({400, 403})
# What servers answer to a path that they do not have, and what they say then. FastAPI and most others are short, so are
# Go and llama.cpp; OpenAI and Groq name an "Unknown request URL", Flask and Fastify the URL or route that is not found;
# then Express, LM Studio, Kong and Spring. It is compiled where it is needed, not at each start.
_NO_PATH = frozenset({404, 405, 501})
_HERE = r"""[ :('"`]+(?:(?:post|get)[ :]+)?/\S*"""
_OF_THE_PATH = (
    r"(?:http )?(?:(?:404|405|501)[ :-]+)?(?:file |page )?(?:not found|method not allowed|not implemented)"
    r"(?:: ?/\S*)?[.!]?"
    rf"|(?:unknown|unrecognized|unsupported|invalid) (?:request )?(?:url|uri|path|endpoint|route)(?:{_HERE}.*)?[.!]?"
    rf"|(?:the )?(?:requested )?(?:url|uri|path|endpoint|route)(?:{_HERE})? (?:was |is |does )?"
    r"not (?:found|exist|supported)(?: on (?:the|this) server)?(?:[.!,].*)?"
    r"|cannot (?:post|get) /\S*|unexpected endpoint or method\b.*"
    r"|no (?:matching )?route (?:matched with those values|found)[.!]?"
    r"|no (?:static resource|handler found for) .*"
)

log = logging.getLogger("subsecond")


def hidden(key: str) -> bytes:
    """What nobody may read of our key: all of it, or b"" where it is no secret."""
    return key.encode("latin-1", "replace") if len(key) >= SECRET else b""


def without(secret: bytes, data: bytes) -> bytes:
    """The data with our key taken out of it."""
    return data.replace(secret, b"[key]") if secret and secret in data else data


def refusal(status: int, fields: Fields, body: bytes, secret: bytes) -> UpstreamError:
    """What the client gets for an error status. body: decoded. secret: see `hidden`."""
    headers = kept_headers(fields, secret)
    said = without(secret, body)
    of_our_key = status in _MAY_BE_OF_A_KEY and (said is not body or _OF_A_KEY.search(said))
    if status == HTTPStatus.UNAUTHORIZED or of_our_key:
        # The key is ours, so the client can do nothing, and the upstream's text may quote a part of it.
        text = f"The upstream refuses this gateway's own key (HTTP {status}): see SUBSECOND_UPSTREAM_KEY."
        error = UpstreamError(text, code="upstream_auth")
    elif status in range(400, 600):
        error = _told(status, said)
    else:
        error = UpstreamError(f"The upstream answered with HTTP {status}, which is no answer.", code="upstream_failed")
    error.headers = headers
    error.retry_after = next((value.decode("latin-1") for name, value in headers if name == b"retry-after"), None)
    return error


def is_of_the_path(error: UpstreamError) -> bool:
    """Whether the server plainly has no such path: it says so, says nothing, or shows a page. Any other words are about
    what the request names (a model, a response, a vector store), and the client's to read."""
    if error.status not in _NO_PATH:
        return False
    code = str((error.error or {}).get("code"))
    if code == "unknown_url" or code.endswith("_not_found"):
        return code == "unknown_url"
    said = error.message[:_SHOWN].strip()
    return error.message == _unsaid(error.status) or bool(re.fullmatch(_OF_THE_PATH, said, re.IGNORECASE | re.DOTALL))


def _unsaid(status: int) -> str:
    """What is told of a server that has said nothing, or has shown a page."""
    return f"The upstream failed with HTTP {status}." if status >= _FAILED else "The upstream refused the request."


def _told(status: int, body: bytes) -> UpstreamError:
    value = parsed(body)
    failed = status >= _FAILED
    text = body[: 4 * _SHOWN].decode("utf-8", "replace").strip()[:_SHOWN]
    if not isinstance(value, dict | list):
        value = text
    error = error_in(value, b"error")
    found = (error and error.error) or completed(value)
    if not words_of(value):
        found = {**found, "message": text if value and isinstance(value, dict | list) else _unsaid(status)}
    if failed:
        log.warning("the upstream failed with HTTP %d: %s", status, " ".join(found["message"][:_LOGGED].split()))
    return UpstreamError(found["message"], status=status, error=found)
