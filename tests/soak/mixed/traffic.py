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
from tests.soak.mixed.wire import Answer, Wire, request

# Each client rests so long between two requests at the most: the soak shall find faults, not the speed of the machine.
REST = 0.2
COMMON = 60
TOLD_OFF = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 422, 431, 501, 505})
FAULTS = ("status429", "status500", "truncate3", "stall2", "malformed2", "errorevent2", "nodone", "empty", "slow5")
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
        wire = Wire(self._place.port, narrow=True)
        await self._ask("slow reader", Question(self._new(), "sim-t5-i0-n1000"), stream=True, wire=wire, pause=0.05)
        wire.close()

    async def pipelined(self) -> None:
        """Three questions in one write: the answers come in their order."""
        asked = [common(self._random.randrange(COMMON)) for _ in range(3)]
        floors = [self._judge.floor(self._tenant, question) for question in asked]
        phase, excuses = self._tally.now, self._tally.excuses()
        raws = [self._raw(question, stream=at == 1) for at, question in enumerate(asked)]
        await self._wire.send(b"".join(raws))
        for question, floor in zip(asked, floors, strict=True):
            answer = await self._wire.read()
            self._note("pipelined", question, answer, floor, (phase, excuses))
            if answer.problem:
                break

    async def broken(self) -> None:
        """What is no request, or no question: it is refused, or the connection ends."""
        phase, kind = self._tally.now, "malformed"
        junk = self._random.choice((*BROKEN, *BODIES))
        raw = junk if junk in BROKEN else self._request(junk)
        wire = Wire(self._place.port)
        await wire.send(raw)
        answer = await wire.read()
        wire.close()
        self._tally.end(kind, str(answer.status or answer.problem), phase)
        fine = answer.status in TOLD_OFF | self._tally.excuses() | self._tally.now.may_say or answer.problem in {
            "closed",
            "ConnectionResetError",
        }
        if not fine:
            self._tally.unexcused.append(f"{kind}: {raw[:80]!r} {answer}")

    async def huge(self) -> None:
        """A body just below the bound, or past it."""
        past = self._random.random() < 0.5
        question = Question(self._new() + " x" * (3_500_000 if past else 300_000))
        if past:
            await self._ask("too large", question, expected=413)
        else:
            await self._ask("huge", question)

    async def faulty(self) -> None:
        """A model that fails: the client gets an error, or as much as was said."""
        fault = self._random.choice(FAULTS)
        question = Question(self._new(), f"{MODEL}-f{fault}")
        phase = self._tally.now
        raw = self._raw(question, stream=self._random.random() < 0.5)
        await self._wire.send(raw)
        answer = await self._wire.read()
        self._tally.end(f"model's {fault}", str(answer.status or answer.problem), phase)
        if not answer.whole:
            self._tally.unexcused.append(f"{fault}: {answer.problem} {answer.status} {answer.body[:200]!r}")
        elif answer.status == 200 and fault not in UNREADABLE:
            self._judge.check(self._tenant, question, answer, 0)

    async def delete(self) -> None:
        """From the gateway's word on, nobody gets what was answered before."""
        tag = self._random.choice(
            (*(f"common{at}" for at in range(10)), "private", f"family{self._random.randrange(15)}")
        )
        tag = "" if self._random.random() < 0.1 else tag
        number = await self._latest_call()
        told = {"by": "tag", "value": tag} if tag else {"by": "namespace"}
        phase, excuses = self._tally.now, self._tally.excuses()
        await self._wire.send(self._request(json.dumps(told).encode(), "/v1/cache/invalidate"))
        answer = await self._wire.read()
        self._tally.end("delete", str(answer.status or answer.problem), phase)
        if answer.status == 200:
            self._judge.deleted(self._tenant, tag, number)
        elif b"too_many_rules" not in answer.body:
            self._tally.failed("delete", str(answer.status or answer.problem), phase, excuses, repr(answer.body[:200]))

    async def look(self) -> None:
        """The other routes."""
        path = self._random.choice(("/v1/cache/stats", "/v1/models", "/dashboard", "/health", "/v1/nothing"))
        phase, excuses = self._tally.now, self._tally.excuses()
        await self._wire.send(self._request(path=path))
        answer = await self._wire.read()
        end = str(answer.status or answer.problem)
        self._tally.end(f"GET {path}", end, phase)
        if answer.status != (404 if path == "/v1/nothing" else 200):
            self._tally.failed(path, end, phase, excuses, repr(answer.body[:200]))

    async def _ask(
        self,
        kind: str,
        question: Question,
        *,
        stream: bool | None = None,
        wire: Wire | None = None,
        pause: float = 0.0,
        expected: int = 200,
    ) -> None:
        streamed = self._random.random() < 0.5 if stream is None else stream
        wire = wire or self._wire
        floor = self._judge.floor(self._tenant, question)
        sent = self._tally.now, self._tally.excuses()
        try:
            await wire.send(self._raw(question, stream=streamed))
            answer = await wire.read(pause=pause)
        except OSError as error:
            answer = Answer(problem=type(error).__name__)
            wire.close()
        self._note(kind, question, answer, floor, sent, expected)

    def _note(
        self, kind: str, question: Question, answer: Answer, floor: int, sent: tuple, expected: int = 200
    ) -> None:
        phase, excuses = sent
        end = str(answer.status or answer.problem)
        if answer.status and not answer.whole:
            end = f"{answer.status}, then {answer.problem}"
        if answer.status == 200 and answer.whole and answer.streamed and None not in answer.events():
            end = "200, then an error"
        self._tally.end(kind, end, phase)
        if end == "200":
            self._tally.served(kind, answer, phase)
        elif end == "200, then an error" and {502, 504} & (excuses | self._tally.now.may_say):
            self._tally.errors[str(phase)][end] += 1
        elif end != str(expected):
            self._tally.failed(kind, end, phase, excuses, repr(answer.body[-300:]))
        if answer.status:
            self._judge.check(self._tenant, question, answer, floor)

    async def _leave(self, kind: str, question: Question, most: int) -> None:
        floor, phase = self._judge.floor(self._tenant, question), self._tally.now
        await self._wire.send(self._raw(question, stream=True))
        answer = await self._wire.read(most=most)
        self._wire.close()
        self._tally.end(kind, "read to its end" if answer.whole else "left", phase)
        if answer.status == 200:
            self._judge.check(self._tenant, question, answer, floor)

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
