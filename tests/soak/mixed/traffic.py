"""The clients of a mixed soak: each asks one thing after the other, of every kind."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from tests.soak.mixed.judge import Judge, number_of
from tests.soak.mixed.questions import LONG, MODEL, Question, common, family, lookalike
from tests.soak.mixed.tally import Tally
from tests.soak.mixed.weather import Phase
from tests.soak.mixed.wire import Answer, Wire, request

# Each client rests so long between two requests at the most: the soak shall find faults, not the speed of the machine.
REST = 0.2
COMMON = 60
TOLD_OFF = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 422, 431, 501, 505})
FAULTS = ("status429", "status500", "truncate3", "stall2", "malformed2", "errorevent2", "nodone", "empty", "slow5")
HUNG_UP = frozenset({"closed", "ConnectionResetError"})
TAGS = (*(f"common{at}" for at in range(10)), *(f"family{at}" for at in range(15)), "private")
# No text, and an event cut short that looks like a chunk, which passes as it came.
UNREADABLE = frozenset({"empty", "malformed2"})
BROKEN = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
)
BODIES = (b"{", b"[]", b"\xff\xfe", b'{"model":5}', b'{"messages":[]}', b'{"model":"m","messages":"x"}', b"[" * 3_000)


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
    floor: int


class Client:
    """One client: a tenant, a kept connection, and chance."""

    def __init__(self, place: Place, number: int, judge: Judge, tally: Tally) -> None:
        self._place, self._judge, self._tally = place, judge, tally
        self._number = number
        self._tenant = list(place.keys)[number % len(place.keys)]
        self._random = Random(number)
        self._asked = itertools.count()
        self._wire = Wire(place.port)

    async def run(self, going: Callable[[], bool]) -> None:
        """As long as it is going."""
        kinds, weights = [kind for kind, _ in KINDS], [weight for _, weight in KINDS]
        while going():
            (kind,) = self._random.choices(kinds, weights)
            await kind(self)
            await asyncio.sleep(self._random.uniform(0, REST))
        self._wire.close()

    async def hit(self) -> None:
        await self._ask("exact", common(self._random.randrange(COMMON)))

    async def private(self) -> None:
        text = f"What do you know of {self._tenant}'s contract {self._random.randrange(20)}?"
        await self._ask("private", Question(text, tag="private"))

    async def semantic(self) -> None:
        await self._ask("semantic", family(self._random.randrange(1_000), self._random.randrange(3)))

    async def lookalike(self) -> None:
        await self._ask("lookalike", lookalike(self._random.randrange(1_000)))

    async def miss(self) -> None:
        await self._ask("miss", Question(self._new()))

    async def joined(self) -> None:
        """Several at once, of both tenants, in both forms; one of them leaves."""
        question = Question(self._new(), LONG)
        *others, leaver = (Client(self._place, self._number + at, self._judge, self._tally) for at in range(7))
        asked = [one._ask("joined", question, stream=bool(at // 2 % 2)) for at, one in enumerate(others)]
        await asyncio.gather(*asked, leaver._leave("joined, left", question, self._random.randrange(1, 4_000)))
        for one in others:
            one._wire.close()

    async def cut(self) -> None:
        """A stream that is left at a byte of chance."""
        await self._leave("cut", Question(self._new(), LONG), self._random.randrange(1, 12_000))

    async def gone(self) -> None:
        """Left before the answer, or before the question is out."""
        raw = self._raw(Question(self._new(), LONG), stream=self._random.random() < 0.5)
        phase = self._tally.now
        await self._wire.send(raw[: self._random.choice((len(raw), self._random.randrange(1, len(raw))))])
        await asyncio.sleep(self._random.uniform(0, 0.1))
        self._wire.close()
        self._tally.end("gone", "left", phase)

    async def slow(self) -> None:
        """A reader that is slower than the model: the gateway has to wait for it."""
        sent = self._sent("slow reader", Question(self._new(), "sim-t5-i0-n1000"))
        wire = Wire(self._place.port, narrow=True)
        await wire.send(self._raw(sent.question, stream=True))
        self._note(sent, await wire.read(pause=0.05))
        wire.close()

    async def pipelined(self) -> None:
        """Three questions in one write: the answers come in their order."""
        sent = [self._sent("pipelined", common(self._random.randrange(COMMON))) for _ in range(3)]
        raws = [self._raw(one.question, stream=at == 1) for at, one in enumerate(sent)]
        await self._wire.send(b"".join(raws))
        for one in sent:
            answer = await self._wire.read()
            self._note(one, answer)
            if answer.problem:
                break

    async def broken(self) -> None:
        """What is no request, or no question: it is refused, or the connection ends."""
        sent = self._sent("malformed", Question(""))
        junk = self._random.choice((*BROKEN, *BODIES))
        raw = junk if junk in BROKEN else self._request(junk)
        wire = Wire(self._place.port)
        await wire.send(raw)
        answer = await wire.read()
        wire.close()
        self._tally.end(sent.kind, answer.end, sent.phase)
        told_off = TOLD_OFF | sent.excuses | self._tally.now.may_say
        if answer.status not in told_off and answer.problem not in HUNG_UP:
            self._tally.unexcused.append(f"malformed: {raw[:80]!r} {answer}")

    async def huge(self) -> None:
        """A large body, or one past the bound."""
        if self._random.random() < 0.5:
            await self._ask("large", Question(self._new() + " x" * 300_000))
        else:
            await self._ask("too large", Question(self._new() + " x" * 3_500_000), expected=413)

    async def faulty(self) -> None:
        """A model that fails: the client gets an error, or as much as was said."""
        fault = self._random.choice(FAULTS)
        sent = self._sent(f"model's {fault}", Question(self._new(), f"{MODEL}-f{fault}"))
        await self._wire.send(self._raw(sent.question, stream=self._random.random() < 0.5))
        answer = await self._wire.read()
        self._tally.end(sent.kind, answer.end, sent.phase)
        if not answer.whole:
            self._tally.unexcused.append(f"{sent.kind}: {answer}")
        elif answer.status == 200 and fault not in UNREADABLE:
            self._judge.check(self._tenant, sent.question, answer, sent.floor)

    async def delete(self) -> None:
        """From the gateway's word on, nobody gets what was answered before."""
        tag = "" if self._random.random() < 0.1 else self._random.choice(TAGS)
        number = await self._latest_call()
        told = {"by": "tag", "value": tag} if tag else {"by": "namespace"}
        answer = await self._ask_otherwise("delete", "/v1/cache/invalidate", json.dumps(told).encode())
        if answer.status == 200:
            self._judge.deleted(self._tenant, tag, number)

    async def look(self) -> None:
        """The other routes."""
        path = self._random.choice(("/v1/cache/stats", "/v1/models", "/dashboard", "/health"))
        answer = await self._ask_otherwise(f"GET {path}", path)
        if path == "/v1/models" and answer.status == 200 and b'"error"' in answer.body:
            self._judge.wrong.append(f"an error as a list of models: {answer}")

    async def _ask_otherwise(self, kind: str, path: str, body: bytes = b"") -> Answer:
        sent = self._sent(kind, Question(""))
        await self._wire.send(self._request(body, path))
        answer = await self._wire.read()
        self._tally.end(kind, answer.end, sent.phase)
        if answer.status != 200 and b"too_many_rules" not in answer.body:
            self._tally.failed(kind, answer, sent.phase, sent.excuses)
        return answer

    def _sent(self, kind: str, question: Question) -> Sent:
        floor = self._judge.floor(self._tenant, question)
        return Sent(kind, question, self._tally.now, self._tally.excuses(), floor)

    async def _ask(self, kind: str, question: Question, *, stream: bool | None = None, expected: int = 200) -> None:
        streamed = self._random.random() < 0.5 if stream is None else stream
        sent = self._sent(kind, question)
        await self._wire.send(self._raw(question, stream=streamed))
        self._note(sent, await self._wire.read(), expected)

    def _note(self, sent: Sent, answer: Answer, expected: int = 200) -> None:
        self._tally.end(sent.kind, answer.end, sent.phase)
        if answer.end == "200":
            self._tally.served(sent.kind, answer, sent.phase)
        elif answer.end != str(expected):
            self._tally.failed(sent.kind, answer, sent.phase, sent.excuses)
        if answer.status:
            self._judge.check(self._tenant, sent.question, answer, sent.floor)

    async def _leave(self, kind: str, question: Question, most: int) -> None:
        sent = self._sent(kind, question)
        await self._wire.send(self._raw(question, stream=True))
        answer = await self._wire.read(most=most)
        self._wire.close()
        self._tally.end(kind, "read to its end" if answer.whole else "left", sent.phase)
        if answer.status == 200:
            self._judge.check(self._tenant, question, answer, sent.floor)

    async def _latest_call(self) -> int:
        """The number of a call that the upstream is asked now, past the gateway."""
        port, key = self._place.direct
        wire = Wire(port)
        await wire.send(request(port, key, Question("Which call is this?", "sim-t0-i0-n1").body(stream=False)))
        answer = await wire.read()
        wire.close()
        return number_of(answer)

    def _new(self) -> str:
        return f"New question {self._number}.{next(self._asked)}.{self._random.randrange(10**9)}: what of it?"

    def _raw(self, question: Question, *, stream: bool) -> bytes:
        return self._request(question.body(stream=stream))

    def _request(self, body: bytes = b"", path: str = "/v1/chat/completions") -> bytes:
        return request(self._place.port, self._place.keys[self._tenant], body, path)


Kind = Callable[[Client], Awaitable[None]]
# How often each is drawn.
KINDS: tuple[tuple[Kind, int], ...] = (
    (Client.hit, 200), (Client.private, 60), (Client.semantic, 120), (Client.lookalike, 60), (Client.miss, 100),
    (Client.joined, 30), (Client.cut, 60), (Client.gone, 60), (Client.slow, 15), (Client.pipelined, 40),
    (Client.broken, 30), (Client.huge, 4), (Client.faulty, 60), (Client.delete, 10), (Client.look, 30),
)  # fmt: skip
