"""What passes unread: pictures, speech, moderation, a count of tokens. Admitted and counted, never cached.

Of the request only the model is read, because a catalogue sends it to that model's server, under its name there.
"""

from __future__ import annotations

import re
from contextlib import aclosing

from starlette.types import Send

from subsecond.api.request import RequestContext
from subsecond.api.response import GuardedResponse, write
from subsecond.api.wire import parse
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import InvalidRequest
from subsecond.model import Endpoint, Passage
from subsecond.streaming.json_bytes import dump, names_twice

JSON = "application/json"
_BOUNDARY = re.compile(r'boundary="?([\x20-\x7e]{1,70}?)"?\s*(?:;|$)', re.IGNORECASE)
# The header of the part that names the model (RFC 7578, section 4.2). At a line's beginning alone: a head that repeats
# the word would else be read again from each place, 45 times as long.
_NAMES_MODEL = re.compile(
    rb'^content-disposition:[^\r\n]*;[ \t]*name="?model"?[ \t]*(?:[;\r\n]|$)', re.IGNORECASE | re.MULTILINE
)
# Bytes of the head of one part, and characters of a model's name.
_MOST_HEAD, LONGEST_NAME = 4_096, 256


class PassedOn(GuardedResponse):
    """The upstream's answer, piece by piece as it comes. path: behind `/v1`. endpoint: whose dialect it is of."""

    def __init__(self, context: RequestContext, path: str, endpoint: Endpoint | None = None) -> None:
        super().__init__(context)
        self._path = path
        self._endpoint = endpoint
        self.dialect = dialect_of(endpoint or "chat")

    async def work(self, send: Send) -> None:
        context, trace = self.context, self.context.trace
        tenant = await context.authenticate()
        passage = self._read(await context.content())
        context.watch()
        trace.model, trace.operation = passage.model or None, self._path.rpartition("/")[2]
        try:
            await self._pass(tenant.partition, passage, send)
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await context.gateway.record(trace)
        await write(send, b"", more=False)

    def _read(self, content: bytes) -> Passage:
        """Raises InvalidRequest for a body that is neither JSON nor a form, or names no model as it should."""
        context = self.context
        kind = context.headers.get("content-type", JSON)
        is_form = kind.lower().startswith("multipart/")
        passed = context.passed_on(self.dialect.headers)
        model, span = _form(kind, content) if is_form else (_json(content), None)
        if not is_form and names_twice(content):
            content = dump(parse(content))  # its server may read another model than we do
        return Passage(self._path, kind, content, self._endpoint, model, span, passed, context.deadline(None))

    async def _pass(self, partition: str, passage: Passage, send: Send) -> None:
        trace = self.context.trace
        async with aclosing(self.context.gateway.models.pass_on(passage, partition, trace)) as answers:
            answer = await anext(answers)
            headers = [
                (b"content-type", answer.content_type.encode("latin-1")),
                (b"x-request-id", trace.request_id.encode()),
                (b"server-timing", trace.server_timing().encode()),
                *answer.headers,
            ]
            await self.start(send, headers, streaming=False)
            while piece := await answer.next():
                await write(send, piece)
            self.context.settle()


def _json(content: bytes) -> str:
    model = parse(content).get("model")
    return "" if model is None else _named(model)


def _form(kind: str, content: bytes) -> tuple[str, tuple[int, int] | None]:
    """The model's name in `multipart/form-data`, and where it stands. There is a file or a picture beside it: only the
    parts' heads are looked at."""
    boundary = _BOUNDARY.search(kind)
    if boundary is None:
        raise InvalidRequest("The form's Content-Type has no boundary.", code="invalid_form")
    delimiter = b"--" + boundary[1].encode()
    at = content.find(delimiter)
    named: tuple[int, int] | None = None
    while at >= 0:
        begin = content.find(b"\r\n\r\n", at, at + _MOST_HEAD)
        end = content.find(b"\r\n" + delimiter, at + len(delimiter))
        if 0 <= begin < end and _NAMES_MODEL.search(content, at, begin):
            if named:  # which of them counts, servers do not agree on
                raise InvalidRequest("The form names its model twice.", param="model", code="invalid_value")
            named = begin + 4, end
        at = end + 2 if end >= 0 else -1
    return (_named(_text(content[slice(*named)])), named) if named else ("", None)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("'model' is not UTF-8.", param="model", code="invalid_value") from None


def _named(model: object) -> str:
    if isinstance(model, str) and 0 < len(model) <= LONGEST_NAME and model.isprintable():
        return model
    raise InvalidRequest(f"'model' is a name of 1 to {LONGEST_NAME} characters.", param="model", code="invalid_value")
