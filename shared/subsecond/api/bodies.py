"""What a body must be, by pydantic, and what is told of one that is not.

Loading this takes 90 ms of processor time and checking the first body 40 more, a third of a cold hit: `usual_body`
lets most bodies through without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from subsecond.errors import InvalidRequest

# A tag is stored with each answer, and a rule's name in the table.
TAG = r"^[\w.:/@+-]{1,64}$"


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, defer_build=True)


class Message(_Body):
    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(_Body):
    include_usage: bool | None = None


class Extensions(BaseModel):
    """What the body's `subsecond` object may say of the cache and the route. A word that we do not know is refused: a
    misspelt `similar: false` would be obeyed by nobody."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)

    similar: bool = True
    similarity: Annotated[float, Field(ge=-1, le=1)] = -1.0
    tags: Annotated[list[Annotated[str, Field(pattern=TAG)]], Field(max_length=10)] = []
    coalesce: bool = True
    ttl: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    compare: Annotated[str, Field(min_length=1)] | None = None
    context: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    quality: Annotated[float, Field(ge=0, le=1)] | None = None
    floor: Literal["fast", "balanced", "quality"] | None = None
    prefer: Literal["latency", "price"] | None = None


class Common(_Body):
    """What chat and text completions share."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    use_cache: bool | None = None
    max_latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    subsecond: Extensions | None = None


class ChatBody(Common):
    messages: Annotated[list[Message], Field(min_length=1)]


class ResponsesBody(Common):
    """Without an input a stored prompt says what is asked."""

    input: str | list[dict[str, Any]] | None = None


class TextBody(Common):
    prompt: str | list[str] | list[int] | list[list[int]]


class BatchBody(Common):
    prompts: Annotated[list[str], Field(min_length=1)]


class EmbeddingsBody(_Body):
    """What is to be embedded has many shapes (texts, tokens, pictures, messages), which the upstream checks."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    use_cache: bool | None = None
    max_latency_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    subsecond: Extensions | None = None


Body = TypeVar("Body", bound=BaseModel)
# How pydantic names the members of a union in an error's path: `str`, `list[str]`, `list[list[int]]`.
_MEMBER = re.compile(r"(str|int|(list|dict)\[.*)")


def check(kind: type[Body], body: Mapping[str, Any]) -> Body:
    """The body's checked fields. Raises InvalidRequest that names the first field that does not fit."""
    try:
        return kind.model_validate(body)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        # A union reports each member's view: the field is what lies before the member's name.
        where = ".".join(str(part) for part in first["loc"] if not _MEMBER.fullmatch(str(part)))
        raise InvalidRequest(f"'{where}': {_words(kind, first)}.", param=where, code="invalid_value") from None


def _words(kind: type[BaseModel], error: Mapping[str, Any]) -> str:
    """Pydantic's own words; of a field that there is not, those that there are: it is misspelt, most often."""
    if error["type"] != "extra_forbidden":
        return str(error["msg"])
    known = kind if len(error["loc"]) == 1 else Extensions
    return f"there is no such field. There are {', '.join(known.model_fields)}"
