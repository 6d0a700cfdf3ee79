"""The port `Dialect`: all that the gateway must know of what a client and its upstream speak.

A dialect is a file of this folder with a `DIALECT`. The pipeline knows none of them by name: it asks
`lookup.dialect_of(call.endpoint)`. What stands here holds for a dialect that says nothing else. Everything is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from subsecond.errors import UpstreamError
from subsecond.model import Chunk, Endpoint, Form, Recording
from subsecond.streaming.disguise import error_in_event
from subsecond.streaming.json_bytes import dump

Body = Mapping[str, Any]
Renamer = Callable[[bytes], bytes]


class Dialect:
    """path: behind the upstream's base URL. headers: those of a request, in lower case, that are passed on and count in
    the key. end: what ends a stream behind its last event."""

    endpoint: ClassVar[Endpoint]
    # As its maker calls it.
    name: ClassVar[str]
    path: ClassVar[str]
    # The header in which its clients look for a request's id, beside ours.
    request_id: ClassVar[str] = "x-request-id"
    headers: ClassVar[tuple[str, ...]] = ()
    end: ClassVar[bytes] = b""
    # What is told of a stream that ended before `begins` was true of an event.
    unbegun: ClassVar[str] = "The model's answer ended before it began."
    # Whether each event is an object that says its type, and one of them ends an answer. Clients of such a dialect read
    # every event, and take a stream that just stops for a complete one: both are told as errors.
    typed: ClassVar[bool] = False
    # Whether a stream tells its usage only where `stream_options.include_usage` asks for it.
    asks_for_usage: ClassVar[bool] = False
    # Whether the optimiser, templates and a second opinion on an answer know its bodies.
    editable: ClassVar[bool] = False
    # Whether a stream can be told in sentences.
    in_sentences: ClassVar[bool] = False
    # Fields that ask for an act, or for sound: an answer in words alone cannot stand for another one.
    acts: ClassVar[tuple[str, ...]] = ("tools",)
    # Fields that force such an act, unless they leave it to the model; and the values that do.
    choices: ClassVar[tuple[str, ...]] = ("tool_choice",)
    # Fields that ask for something of this very text: itself, its probabilities, what stands between it and another.
    of_this_text: ClassVar[tuple[str, ...]] = ()

    # Of a request's body.

    def split(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The body with the texts of the last user turn taken out, and these; none where there is no such turn."""
        return body, []

    def turns(self, body: Body) -> Sequence[Mapping[str, Any]]:
        """The conversation for who only reads it: messages with a `role`, and a `content` of text or of parts."""
        del body
        return ()

    def system_texts(self, body: Body) -> Iterator[tuple[str, str]]:
        """With their places in words, as `messages[0]`. A content in parts gives each of its texts."""
        del body
        yield from ()

    def with_system_texts(self, body: dict[str, Any], edit: Callable[[str], str]) -> dict[str, Any]:
        """The body with each of them edited."""
        del edit
        return body

    def end_user(self, body: Body) -> object:
        """The person behind the request, as the client names them; None or "" where it does not."""
        del body
        return None

    def limit(self, body: Body) -> object:
        """The most tokens of the answer; None where there is no limit."""
        return body.get("max_tokens")

    def format(self, body: Body) -> object:
        """The form that the answer must have: an object with a `type`."""
        del body
        return None

    def wants_probabilities(self, body: Body) -> bool:
        """Whether it asks for the tokens' probabilities, which are of this very text."""
        del body
        return False

    def forces(self, choice: object) -> bool:
        """Whether this value of one of `choices` forces a call of a tool."""
        return choice not in (None, "auto", "none")

    def is_one(self, body: Body) -> bool:
        """Whether it asks for one answer, and not for several that differ."""
        del body
        return True

    def goes_on(self, text: str) -> bool:
        """Whether the model is to go on with this text where nearly the same one goes on otherwise."""
        del text
        return False

    def state(self, body: Body) -> str:
        """What the request does or asks beyond its answer: `names` an object that its upstream keeps, `acts` through it
        at somebody else's, `makes` an object; else empty. The first that holds."""
        return "makes" if body.get("store") is True else ""

    def objects_named(self, body: Body) -> list[str]:
        """The ids of the objects that it goes on from: they must be the asker's."""
        del body
        return []

    # Of an answer.

    def recorded(self, form: Form, payloads: Iterable[bytes], *, ended: bool = True) -> Recording:
        """The payloads with their index. Never raises. ended: whether the body ended cleanly."""
        raise NotImplementedError

    def not_an_answer(self, body: bytes) -> UpstreamError | None:
        """Why a whole reply with a good status is no answer; None where it is one."""
        raise NotImplementedError

    def error_in_event(self, payload: bytes, name: bytes) -> UpstreamError | None:
        """The error that an event is; UpstreamBrokeOff for one that is no JSON object. name: the event's."""
        return error_in_event(payload, name)

    def begins(self, payload: bytes) -> bool:
        """Whether an answer has begun with this event: what comes before it may yet be an error with a status."""
        raise NotImplementedError

    def ends(self, payload: bytes) -> bool:
        """Whether an answer has ended with this event. Asked of dialects that are `typed`."""
        raise NotImplementedError

    def speaks(self, payload: bytes) -> bool:
        """Whether an event has more in it than that somebody will speak: text, a thought, a call, or an end."""
        return self.tells(payload)

    def tells(self, payload: bytes) -> bool:
        """Whether an event, or a body, says anything: text, a thought, a call, a sound. An end says nothing."""
        raise NotImplementedError

    def is_hollow(self, recording: Recording) -> bool:
        """Whether nothing is said in it, and neither the request's own limit nor a filter is why."""
        raise NotImplementedError

    def is_usage_only(self, payload: bytes) -> bool:
        """Whether an event holds usage alone, which a client has to ask for."""
        del payload
        return False

    def to_whole(self, payloads: Iterable[bytes]) -> bytes | None:
        """The body that says the same as these events; None where that cannot be said without a guess."""
        del payloads
        return None

    def to_stream(self, body: bytes) -> tuple[bytes, ...] | None:
        """The events that say the same as this body; None as above."""
        del body
        return None

    def converts(self, payload: bytes) -> bool:
        """Whether an event, looked at alone, goes over. `to_whole` may still decline what comes together."""
        del payload
        return False

    def lone_event(self, body: bytes) -> tuple[bytes, ...]:
        """A body that does not go over, as events for the one client that asked for a stream."""
        return (body,)

    def joined_loosely(self, payloads: Iterable[bytes]) -> bytes | None:
        """A body for the one client that asked for it, of events that do not go over; None where there is none."""
        del payloads
        return None

    # How it is written.

    def event_name(self, payload: bytes) -> bytes:
        """The name of an event that is told again; empty where events have none."""
        del payload
        return b""

    def renamer(self) -> Renamer | None:
        """For the payloads of one answer, one after the other, when another request has it than the one that it was
        made for: none of their ids leads to an object that somebody has. None: no id leads to any."""
        return None

    def object_ids(self, payload: bytes, asked: Body) -> list[str]:
        """The ids of objects that the upstream keeps from now on, where an event or a body names new ones. asked: the
        request's body; empty where an object is told again."""
        del payload, asked
        return []

    def error_body(self, error: Body, status: int, request_id: str) -> Body:
        """The body of a failure. error: OpenAI's object `{"error": ...}`."""
        del status, request_id
        return error

    def failure(self, error: Body, events: int, begun: bytes, said: Chunk | None) -> tuple[Chunk, ...]:
        """How a stream ends that has failed. begun: its first event, empty where none was told. said: the upstream's
        own event of the failure, where there was one."""
        del begun
        return (said or self.error_event(error, events),)

    def error_event(self, error: Body, events: int) -> Chunk:
        """A failure after the first byte: the status is sent. events: how many were told before it."""
        del events
        return Chunk(dump(error))

    def trace_event(self, last: bytes, events: int, trace: Body) -> Chunk:
        """The trace at the end of a stream, for who asked for it. last: the payload of the last event."""
        raise NotImplementedError
