"""Several whole `/completions` calls as one: `prompt: [...]`, for upstreams that answer a list's prompts side by side.

What `batcher.py` does for vectors does not fit here: calls differ in their parameters, and a model must not go on for
callers who have left. So each caller has a seat in a list, and the choices are dealt out by their `index`, each as a
reply of its own. A server that misnumbers its choices, leaves some out, breaks off or refuses the list has harmed
nobody: each caller asks for itself. Streams go alone: in a list their first token would wait for the slowest one's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Hashable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from subsecond.errors import SubsecondError, Unavailable, UpstreamTimeout, UpstreamUnreachable
from subsecond.model import Call, Passage
from subsecond.ports import ByteStream, EventStream, Reply, Upstream
from subsecond.streaming.disguise import not_an_answer
from subsecond.streaming.events import choices_of, parsed
from subsecond.streaming.json_bytes import dump

# Seconds that the first call of a batch waits for the others: their leases are written one by one, each in its own
# time. A call that is part of no batch shares what is asked in the same turn of the loop, and waits for nobody.
WINDOW = 0.005
# Of the prompts of one list, in UTF-8.
MOST_BYTES = 256 * 1024
# Seconds without lists for an upstream that has failed one whose prompts it then answered one by one.
REST = 600.0
# What may be asked for in a list. Fields that count over all its choices (`n`, `best_of`), that work on a choice's text
# (`stop`, `echo`, `suffix`, `logprobs`), that promise a repetition (`seed`), or that nobody knows keep a call alone.
SAFE = frozenset({"max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "user"})
# Statuses of an upstream that has no time now: to ask it eight times instead helps nobody.
BUSY = frozenset({408, 425, 429, 503, 529})


class Lists:
    """Used from one event loop. upstream: what takes lists. most: prompts of one list. `ticks`: monotonic seconds."""

    def __init__(self, upstream: Upstream, most: int, *, ticks: Callable[[], float] = monotonic) -> None:
        self._upstream = upstream
        self._most = most
        self._ticks = ticks
        self._rests_until = float("-inf")
        self._waiting: dict[Hashable, _List] = {}

    def of(self, partition: str) -> Upstream:
        """The upstream for one partition's calls. Those of two partitions never share a list."""
        return _Partition(self, partition)

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        return await self._upstream.fetch(path, body, deadline)

    async def pass_on(self, passage: Passage) -> ByteStream:
        return await self._upstream.pass_on(passage)

    async def ask(self, partition: str, call: Call) -> Reply | EventStream:
        """As the port, except that the usage is estimated."""
        seat = self._seat(partition, call)
        if seat is None:
            return await self._upstream.ask(call)
        try:
            return await seat.reply
        except _Alone as alone:
            trial = alone.trial
        finally:
            await seat.leave()
        found = await self._upstream.ask(call)
        if trial and trial.passed():
            self._rest()
        return found

    def _seat(self, partition: str, call: Call) -> _Seat | None:
        """None where the call must go alone."""
        if not may_share(call) or self._ticks() < self._rests_until:
            return None
        size = len(call.body["prompt"].encode("utf-8", "surrogatepass"))
        if size > MOST_BYTES:
            return None
        what = partition, bool(call.batch), call.model, call.deadline, _parameters(call)
        waiting = self._waiting.get(what)
        if waiting and waiting.bytes + size > MOST_BYTES:
            self._go(what)
            waiting = None
        if waiting is None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(WINDOW, self._go, what) if call.batch else loop.call_soon(self._go, what)
            waiting = self._waiting[what] = _List(timer)
        seat = waiting.take(call, size)
        if len(waiting.seats) >= self._most:
            self._go(what)
        return seat

    def _go(self, what: Hashable) -> None:
        """It is complete: those who are still there are asked for, together where they are several."""
        ready = self._waiting.pop(what)
        ready.timer.cancel()
        ready.seats = [seat for seat in ready.seats if not seat.gone]
        if len(ready.seats) == 1:
            ready.give_up(_Alone(None))
        elif ready.seats:
            ready.task = asyncio.create_task(self._run(ready))

    async def _run(self, asked: _List) -> None:
        try:
            asked.deal(await self._upstream.ask(asked.call()))
        except SubsecondError as error:
            trial = _Trial(sum(not seat.gone for seat in asked.seats))
            asked.give_up(error if _is_of_the_moment(error) else _Alone(trial))
        except BaseException:
            asked.give_up(UpstreamUnreachable("The call was given up."))
            raise

    def _rest(self) -> None:
        self._rests_until = self._ticks() + REST


@dataclass(frozen=True, slots=True)
class _Partition:
    """The port `Upstream`."""

    lists: Lists
    partition: str

    async def ask(self, call: Call) -> Reply | EventStream:
        return await self.lists.ask(self.partition, call)

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        return await self.lists.fetch(path, body, deadline)

    async def pass_on(self, passage: Passage) -> ByteStream:
        return await self.lists.pass_on(passage)


class _Alone(Exception):
    """To a caller that has been given nothing: ask for yourself. trial: None where nobody else was there."""

    def __init__(self, trial: _Trial | None) -> None:
        super().__init__()
        self.trial = trial


@dataclass(slots=True, eq=False)
class _Trial:
    """Whether the list was at fault or a prompt in it: the list, when all of its prompts do well alone."""

    left: int

    def passed(self) -> bool:
        """One more prompt was accepted; whether it was the last."""
        self.left -= 1
        return self.left == 0


@dataclass(slots=True, eq=False)
class _Seat:
    """One caller's place in a list."""

    asked: _List
    call: Call
    reply: asyncio.Future[Reply] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    gone: bool = False

    async def leave(self) -> None:
        """Who leaves last ends the upstream's call."""
        self.gone = True
        task = self.asked.task
        if task and not task.done() and all(seat.gone for seat in self.asked.seats):
            task.cancel()
            await asyncio.wait([task])


class _List:
    """Seats in the order of their prompts."""

    def __init__(self, timer: asyncio.Handle) -> None:
        self.timer = timer
        self.seats: list[_Seat] = []
        self.bytes = 0
        self.task: asyncio.Task[None] | None = None

    def take(self, call: Call, size: int) -> _Seat:
        seat = _Seat(self, call)
        self.seats.append(seat)
        self.bytes += size
        return seat

    def call(self) -> Call:
        first = self.seats[0].call
        return replace(first, body={**first.body, "prompt": [seat.call.body["prompt"] for seat in self.seats]})

    def deal(self, found: Reply | EventStream) -> None:
        """To each its choice. Raises UpstreamError for what is no answer to this list."""
        if not isinstance(found, Reply):
            found.close()
            raise UpstreamUnreachable("The model streamed a list that was asked for whole.")
        if error := not_an_answer("text", found.body):
            raise error
        answer = parsed(found.body)
        choices = {at: choice for choice in choices_of(answer) if isinstance(at := choice.get("index"), int)}
        if len(answer["choices"]) != len(self.seats) or choices.keys() != set(range(len(self.seats))):
            raise UpstreamUnreachable("The model's answer to a list of prompts is misnumbered, or leaves some out.")
        for at, seat in enumerate(self.seats):
            if not seat.reply.done():
                seat.reply.set_result(replace(found, body=_own(answer, choices[at], seat.call)))

    def give_up(self, error: Exception) -> None:
        for seat in self.seats:
            if seat.reply.done():
                continue
            own = error
            if isinstance(error, SubsecondError):
                own = copy(error)
                own.__cause__ = error
            seat.reply.set_exception(own)


def _own(answer: Mapping[str, Any], choice: Mapping[str, Any], call: Call) -> bytes:
    """One choice as a reply of its own: answers are stored and shown one by one, so each has its own id."""
    at, name = choice["index"], answer.get("id")
    own = {"id": f"{name}-{at}"} if isinstance(name, str) else {}
    usage = _usage(call, str(choice.get("text") or ""))
    return dump({**answer, **own, "choices": [{**choice, "index": 0}], "usage": usage})


def may_share(call: Call) -> bool:
    """Whether a list can hold it: whole, one text, one choice, and nothing that a list could answer otherwise."""
    body = call.body
    if (
        call.endpoint != "text"
        or call.form != "whole"
        or not isinstance(body.get("prompt"), str)
        or body.get("n") not in (None, 1)
    ):
        return False
    return all(name in SAFE or value is None for name, value in body.items() if name not in ("model", "prompt", "n"))


def _parameters(call: Call) -> str:
    """Equal for calls that differ in their prompt alone."""
    told = {name: value for name, value in call.body.items() if name not in ("model", "prompt")}
    return json.dumps(told, sort_keys=True)


def _is_of_the_moment(error: SubsecondError) -> bool:
    """Whether it says nothing of the list: each prompt alone would meet the same now."""
    if isinstance(error, UpstreamTimeout | Unavailable):
        return True
    return error.status in BUSY or error.retry_after is not None or error.code == "upstream_auth"


def _usage(call: Call, text: str) -> dict[str, Any]:
    """The upstream's is a sum over the list, or one of its prompts': nobody can tell, so it is estimated."""
    from subsecond.optimiser.tokens import Tokens  # tables that hardly any request needs

    counter = Tokens().counter(call.model)
    asked, answered = counter.count(call.body["prompt"]), counter.count(text)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "estimated": True,
    }
