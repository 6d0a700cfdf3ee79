"""Errors that come as answers: inside a 200, as an event of a stream, in whatever shape a server gives them.

What the server said is kept: its status where it names one (as a number or in the words of a kind), its words, its
error object with OpenAI's four fields completed. Only what speaks of our own key is withheld, because it may quote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from subsecond.errors import UpstreamBrokeOff, UpstreamError, UpstreamUnreachable
from subsecond.model import Endpoint
from subsecond.streaming.events import choices_of, looks_like_a_chunk, parsed
from subsecond.streaming.json_bytes import dump

_FIRST_ERROR, _LAST_ERROR = 400, 599
# Characters of a code or kind: a message in its place is none.
_WORD = 100
# Objects and lists around an error's words: more than any server has, less than any stack.
_DEPTH = 8
_UNAUTHORIZED, _BAD_GATEWAY = 401, 502
# Where servers say a status, in the order in which they are asked; `type` holds words alone.
_STATUS_FIELDS = (
    "status_code", "statusCode", "http_status", "http_code", "status", "code", "error_code", "error_type", "type",
    "__type",
)  # fmt: skip
# Where servers put their words, in the order in which they are asked.
_WORD_FIELDS = (
    "message", "msg", "detail", "error_msg", "error_message", "errorMessage", "Message", "error_description",
    "status_msg", "faultstring", "description", "title", "details", "error", "errors",
)  # fmt: skip
# Fields that hold an error where there is no choice beside them. Apigee: fault. MiniMax: base_resp.
_WRAPPERS = ("error", "errors", "fault", "base_resp")
# A top level `message` is an error's where one of these says so, or where nothing of an answer is beside it.
_ANSWER_FIELDS = frozenset({"object", "choices", "usage", "created", "model", "type"})
_GOOD = frozenset({"0", "200", "ok", "success", "succeeded", "completed"})

# Words for a kind of error, in lower case without signs, and the status that OpenAI (or whoever made the word) gives
# it: OpenAI, Anthropic, gRPC (Gemini), AWS, vLLM and SGLang. Looked for from the first to the last.
_KINDS: Mapping[str, int] = {
    "contextlengthexceeded": 400,
    "ratelimit": 429,
    "toomanyrequests": 429,
    "insufficientquota": 429,
    "quotaexceeded": 429,
    "resourceexhausted": 429,
    "throttling": 429,
    "overloaded": 529,
    "invalidapikey": _UNAUTHORIZED,
    "authentication": _UNAUTHORIZED,
    "unauthenticated": _UNAUTHORIZED,
    "unauthorized": _UNAUTHORIZED,
    "insufficientcredits": 402,
    "billing": 402,
    "permission": 403,
    "accessdenied": 403,
    "forbidden": 403,
    "notfound": 404,
    "requesttoolarge": 413,
    "unprocessable": 422,
    "invalidrequest": 400,
    "invalidargument": 400,
    "failedprecondition": 400,
    "badrequest": 400,
    "validation": 400,
    "serviceunavailable": 503,
    "unavailable": 503,
    "gatewaytimeout": 504,
    "deadlineexceeded": 504,
    "timeout": 504,
    "internalserver": 500,
    "servererror": 500,
}
# What speaks of the key that was sent, whatever status stands beside it (xAI refuses a wrong key with 400).
_OUR_KEY = re.compile(
    r"\b(?:incorrect|invalid|wrong|expired|revoked|missing|no)\b[^.\n]{0,30}\b(?:api|subscription|access)[ _-]?key",
    re.IGNORECASE,
)
# What a message without any status speaks of. A request that is too long is the caller's, and asking again is no use.
_PHRASES: Mapping[str, int] = {
    "maximum context length": 400,
    "context length": 400,
    "context window": 400,
    "rate limit": 429,
    "too many requests": 429,
    "overloaded": 529,
}


def error_in(value: object, name: bytes = b"") -> UpstreamError | None:
    """The error that a parsed payload or body is, None where it is none. name: the event's; one that is named `error`
    is an error whatever it holds."""
    found = _found(value)
    if found is None and name == b"error":
        found = value if isinstance(value, dict) else {"message": value}
    return None if found is None else _told(found)


def error_in_event(payload: bytes, name: bytes = b"") -> UpstreamError | None:
    """As `error_in`, for an event that has not been parsed; one that is no JSON object is an error too. Of what looks
    like a chunk nothing is parsed."""
    if not name and b'"error"' not in payload and looks_like_a_chunk(payload):
        return None
    value = parsed(payload)
    if isinstance(value, dict | list):
        return error_in(value, name) or _unless_an_object(value)
    text = value if isinstance(value, str) else payload.decode("utf-8", "replace")
    if name == b"error" or text[:5].lower() == "error":
        return _told({"message": text})
    return UpstreamBrokeOff("The model's stream broke off: an event is not JSON.")


def not_an_answer(endpoint: Endpoint, body: bytes) -> UpstreamError | None:
    """Why a whole reply with a good status is no answer; None where it is one: an object with a choice that is an
    object and no error."""
    value = parsed(body)
    if not body.strip():
        return UpstreamUnreachable("The upstream answered with an empty body.")
    if error := error_in(value):
        return error
    if not isinstance(value, dict):
        return UpstreamUnreachable("The upstream's answer is not a JSON object.")
    field = "text" if endpoint == "text" else "message"
    if not choices_of(value):
        return UpstreamError("The upstream answered without a choice.", code="upstream_no_choice")
    if not any(field in choice or "delta" in choice for choice in choices_of(value)):
        return UpstreamError(f"The upstream's choices have no {field}.", code="upstream_no_choice")
    return None


def completed(found: object) -> dict[str, Any]:
    """OpenAI's error object from whatever came: strings, or null in `param` and `code`; other fields are kept."""
    error = dict(found) if isinstance(found, dict) else {"message": found}
    kind, param, code = (error.get(field) for field in ("type", "param", "code"))
    return {
        **error,
        "message": words_of(error) or "The upstream refused the request.",
        "type": kind if isinstance(kind, str) else UpstreamError.kind,
        "param": param if isinstance(param, str) else None,
        "code": None if code is None else code if isinstance(code, str) else _compact(code),
    }


def status_of(found: object) -> int | None:
    """The status that an error names itself, None where it names none."""
    said = list(_said(found))
    for word in said:
        if word.isdecimal() and len(word) == 3 and _FIRST_ERROR <= int(word) <= _LAST_ERROR:  # noqa: PLR2004 -- digits
            return int(word)
    kinds = ["".join(filter(str.isalnum, word.lower())) for word in said]
    for kind, status in _KINDS.items():
        if any(kind in word for word in kinds):
            return status
    text = words_of(found).lower()
    return next((status for phrase, status in _PHRASES.items() if phrase in text), None)


def speaks_of_our_key(status: int, found: object) -> bool:
    """Whether an error is about the key that this gateway sends: no client can mend it, and its text may quote it."""
    return status == _UNAUTHORIZED or bool(_OUR_KEY.search(words_of(found)))


def words_of(found: object) -> str:
    """What an error says, for a reader; "" where it says nothing, or shows a page, which is for a browser."""
    return "" if (text := _words(found).strip()).startswith("<") else text


def _told(found: dict[str, Any]) -> UpstreamError:
    status = status_of(found) or _BAD_GATEWAY
    if speaks_of_our_key(status, found):
        # The key is ours, so the client can do nothing, and the upstream's text may quote it.
        return UpstreamError("The upstream refuses this gateway's own key.", code="upstream_auth")
    error = completed(found)
    return UpstreamError(error["message"], status=status, error=error)


def _found(value: object) -> dict[str, Any] | None:
    """The error object in it; `{"message": ...}` for bare words."""
    if isinstance(value, list):
        return next(filter(None, (_found(item) for item in value if isinstance(item, dict))), None)
    if not isinstance(value, dict):
        return None
    if (error := value.get("error")) and not _is_good(error):
        return _unwrapped(error, value)
    choices = choices_of(value)
    if choices:
        # OpenRouter puts the error of a provider into the choice.
        errors = [error for choice in choices if isinstance(error := choice.get("error"), dict) and error]
        return errors[0] if len(errors) == len(choices) else None
    for wrapper in _WRAPPERS[1:]:
        if (error := value.get(wrapper)) and not _is_good(error):
            return _unwrapped(error, value)
    return value if _is_error(value) else None


def _unwrapped(error: object, around: dict[str, Any]) -> dict[str, Any]:
    """The innermost object, with the status that is said only around it."""
    if isinstance(error, list):
        error = next((item for item in error if isinstance(item, dict)), {"message": error})
    if isinstance(error, dict) and isinstance(inner := error.get("error"), dict) and not error.get("message"):
        error = inner  # one gateway behind another; of more than two nobody keeps the shape
    if error is True:
        return {name: value for name, value in around.items() if name != "error"}
    text = words_of({**around, "error": None, "errors": None})
    if isinstance(error, str) and text:
        return {"code": error, **{name: value for name, value in around.items() if name != "error"}}
    found = dict(error) if isinstance(error, dict) else {"message": error}
    if text and not words_of(found):
        found["message"] = text
    said = {name: around[name] for name in _STATUS_FIELDS[:-2] if name in around and name not in found}
    return {**found, **said} if status_of(found) is None else found


def _is_error(value: dict[str, Any]) -> bool:
    """Of an object without choices and wrappers."""
    if value.get("object") == "error" or value.get("type") == "error":
        return True
    if not words_of({**value, "error": None, "errors": None}) or _is_good(value):
        return False
    if "detail" in value or status_of(value):
        return True
    return not (value.keys() & _ANSWER_FIELDS)


def _is_good(error: object) -> bool:
    """`{"code": 0, "message": "Success"}`, which some servers put beside their answers."""
    if not isinstance(error, dict):
        return False
    said = [str(error[name]).lower() for name in ("code", "status", "status_code") if error.get(name) is not None]
    words = words_of(error).lower().rstrip(".!")
    return bool(said) and all(word in _GOOD for word in (*said, words or "ok"))


def _unless_an_object(value: object) -> UpstreamError | None:
    if isinstance(value, dict):
        return None
    return UpstreamBrokeOff("The model's stream broke off: an event is not an object.")


def _said(found: object) -> Iterator[str]:
    """The codes and kinds in an error object, as words."""
    if not isinstance(found, dict):
        return
    for name in _STATUS_FIELDS:
        if isinstance(word := found.get(name), int | str):
            yield str(word)[:_WORD]
        elif name == "code" and isinstance(word, float):
            yield f"{word:g}"


def _words(found: object, depth: int = 0) -> str:
    if isinstance(found, str) or depth > _DEPTH:
        return found if isinstance(found, str) else ""
    if isinstance(found, list):
        return "; ".join(filter(None, (_words(item, depth + 1) for item in found)))
    if isinstance(found, dict):
        text = next(filter(None, (_words(found.get(name), depth + 1) for name in _WORD_FIELDS)), "")
        where = found.get("loc")  # pydantic: which field is meant
        return f"{'.'.join(map(str, where))}: {text}" if isinstance(where, list) and text else text
    return ""


def _compact(value: object) -> str:
    return dump(value).decode()
