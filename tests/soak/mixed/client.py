"""One client of a mixed soak, and what all that it does is made of: it sends, and each answer is judged and counted."""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from tests.soak.mixed.judge import Floor, Judge
from tests.soak.mixed.questions import Question
from tests.soak.mixed.tally import Tally
from tests.soak.mixed.weather import Phase
from tests.soak.mixed.wire import Answer, Wire, request

# Each client rests so long between two requests at the most: the soak shall find faults, not the speed of the machine.
REST = 0.2
# What a question is asked in, as often as each stands here.
DIALECTS = ("chat", "chat", "responses", "messages")
_ID = re.compile(r"/resp_\w+")


@dataclass(frozen=True)
class Place:
    """Where the clients ask. keys: by tenant. direct: the upstream's port and key, past every proxy."""

    port: int
    keys: dict[str, str]
    direct: tuple[int, str]


@dataclass(frozen=True)
class Sent:
    """One question on its way. excuses, floor: as they were when it was sent."""

    kind: str
    question: Question
    phase: Phase
    excuses: frozenset[int]
    floor: Floor

    @property
    def route(self) -> str:
        return f"POST {self.question.spoken.path}"


class Client:
    """A tenant, a kept connection, and chance."""

    def __init__(self, place: Place, number: int, judge: Judge, tally: Tally) -> None:
        self.place, self.judge, self.tally = place, judge, tally
        self.number = number
        self.tenant, self.other = (list(place.keys)[(number + at) % len(place.keys)] for at in range(2))
        self.random = Random(number)
        self.wire = Wire(place.port)
        self._asked = itertools.count()

    def dialect(self) -> str:
        return self.random.choice(DIALECTS)

    def new(self, model: str, dialect: str = "", more: str = "") -> Question:
        """A question that nobody has asked. dialect: empty for any."""
        text = f"New question {self.number}.{next(self._asked)}.{self.random.randrange(10**9)}: what of it?{more}"
        return Question(text, model, dialect=dialect or self.dialect())

    def sent(self, kind: str, question: Question) -> Sent:
        floor = self.judge.floor(self.tenant, question)
        return Sent(kind, question, self.tally.now, self.tally.excuses(), floor)

    async def ask(
        self,
        kind: str,
        question: Question,
        *,
        stream: bool | None = None,
        may: Sequence[int] = (200,),
        headers: Sequence[str] = (),
    ) -> Answer:
        """may: the statuses that it gets of a gateway in order."""
        streamed = self.random.random() < 0.5 if stream is None else stream
        sent = self.sent(kind, question)
        await self.wire.send(self.raw(question, stream=streamed, headers=headers))
        answer = await self.wire.read()
        self.note(sent, answer, may)
        return answer

    def note(self, sent: Sent, answer: Answer, may: Sequence[int] = (200,)) -> None:
        self.tally.end(sent.kind, sent.route, answer.end, sent.phase)
        if answer.end == "200":
            self.tally.served(sent.kind, sent.route, answer, sent.phase)
        elif answer.end not in map(str, may):
            self.tally.failed(sent.kind, answer, sent.phase, sent.excuses)
        if answer.status:
            self.judge.check(self.tenant, sent.question, answer, sent.floor)

    async def leave(self, kind: str, question: Question, most: int) -> None:
        """After so many bytes of a stream."""
        sent = self.sent(kind, question)
        await self.wire.send(self.raw(question, stream=True))
        answer = await self.wire.read(most=most)
        self.wire.close()
        self.tally.end(kind, sent.route, "read to its end" if answer.whole else "left", sent.phase)
        if answer.status == 200:
            self.judge.check(self.tenant, question, answer, sent.floor)

    async def call(
        self,
        kind: str,
        path: str,
        body: bytes = b"",
        *,
        method: str = "",
        tenant: str = "",
        may: Sequence[int] = (200,),
    ) -> Answer:
        """What is no question. tenant: another one than its own."""
        phase, excuses = self.tally.now, self.tally.excuses()
        method = method or ("POST" if body else "GET")
        key = self.place.keys[tenant or self.tenant]
        await self.wire.send(request(self.place.port, key, body, path, method=method))
        answer = await self.wire.read()
        self.tally.end(kind, f"{method} {_ID.sub('/ID', path)}", answer.end, phase)
        if answer.end not in map(str, may):
            self.tally.failed(kind, answer, phase, excuses)
        if answer.status not in (0, 200):
            self.judge.check_error(path, answer)
        return answer

    def raw(self, question: Question, *, stream: bool, headers: Sequence[str] = ()) -> bytes:
        spoken = question.spoken
        return self.request(question.body(stream=stream), spoken.path, (*spoken.headers, *headers))

    def request(self, body: bytes, path: str, headers: Sequence[str] = ()) -> bytes:
        return request(self.place.port, self.place.keys[self.tenant], body, path, headers)


Kind: TypeAlias = Callable[[Client], Awaitable[None]]
