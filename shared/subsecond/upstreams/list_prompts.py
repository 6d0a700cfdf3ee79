"""Several `/completions` calls as one: `prompt: [...]`, for upstreams that answer a list's prompts side by side.

What `batcher.py` does for vectors does not fit here: an answer is a stream, calls differ in their parameters, and a
model must not go on for callers who have left. So each caller has a seat in a list, and the chunks are dealt out by
their `index`. Nothing is dealt before every index has spoken: until then a server that misnumbers its choices, leaves
some out or refuses the list has harmed nobody, and each caller asks for itself. That costs a first token the wait for
the list's slowest one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from contextlib import aclosing
from copy import copy
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from subsecond.errors import SubsecondError, Unavailable, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from subsecond.model import Call
from subsecond.ports import Reply, Upstream
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
BUSY = frozenset({408, 425, 429})


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

    async def stream(self, partition: str, call: Call) -> AsyncGenerator[bytes]:
        """As the port, except that an answer ends with its own `finish_reason` where others of its list go on."""
        trial: _Trial | None = None
        if seat := self._seat(partition, call):
            try:
                while (payload := await seat.next()) is not None:
                    yield payload
            except _Alone as alone:
                trial = alone.trial
            else:
                return
            finally:
                await seat.leave()
        async with aclosing(self._upstream.stream(call)) as payloads:
            async for payload in payloads:
                if trial and trial.passed():
                    self._rest()
                trial = None
                yield payload

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
            ready.seats[0].give(_Alone(None))
        elif ready.seats:
            ready.task = asyncio.create_task(self._run(ready))

    async def _run(self, asked: _List) -> None:
        try:
            async with aclosing(self._upstream.stream(asked.call())) as payloads:
                async for payload in payloads:
                    asked.deal(payload)
            asked.finish()
        except BaseException as error:
            self._fail(asked, error)
            if isinstance(error, Exception):
                return
            raise

    def _fail(self, asked: _List, error: BaseException) -> None:
        if not isinstance(error, Exception):
            error = UpstreamUnreachable("The call was cancelled.")
        elif not asked.open and not _is_of_the_moment(error):
            asked.give_up(_Alone(_Trial(sum(not seat.gone for seat in asked.seats))))
            return
        elif isinstance(error, _Misnumbered):
            self._rest()
        asked.give_up(error)

    def _rest(self) -> None:
        self._rests_until = self._ticks() + REST


@dataclass(frozen=True, slots=True)
class _Partition:
    """The port `Upstream`."""

    lists: Lists
    partition: str

    def stream(self, call: Call) -> AsyncGenerator[bytes]:
        return self.lists.stream(self.partition, call)

    async def fetch(self, path: str, body: Mapping[str, Any] | None, deadline: float | None) -> Reply:
        return await self.lists.fetch(path, body, deadline)


class _Misnumbered(UpstreamUnreachable):
    """Nobody can say whose answer is whose."""


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
    gone: bool = False
    ended: bool = False
    head: dict[str, Any] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    items: asyncio.Queue[bytes | Exception | None] = field(default_factory=asyncio.Queue)

    async def next(self) -> bytes | None:
        """None at the end. Raises what the list met."""
        item = await self.items.get()
        if isinstance(item, Exception):
            raise item
        return item

    def give(self, item: bytes | Exception | None) -> None:
        """Nothing comes after an error or the end."""
        if not self.ended and not self.gone:
            self.ended = not isinstance(item, bytes)
            self.items.put_nowait(item)

    def end(self) -> None:
        if not self.ended and not self.gone:
            self.give(dump({**self.head, "choices": [], "usage": _usage(self.call, "".join(self.texts))}))
        self.give(None)

    async def leave(self) -> None:
        """Who leaves last ends the upstream's call."""
        self.gone = True
        task = self.asked.task
        if task and not task.done() and all(seat.gone for seat in self.asked.seats):
            task.cancel()
            await asyncio.wait([task])


class _List:
    """Seats in the order of their prompts. open: every index has spoken, and the chunks are dealt as they come."""

    def __init__(self, timer: asyncio.Handle) -> None:
        self.timer = timer
        self.seats: list[_Seat] = []
        self.bytes = 0
        self.task: asyncio.Task[None] | None = None
        self.open = False
        self._held: list[tuple[_Seat, bytes]] = []
        self._spoken: set[int] = set()
        self._finished: set[int] = set()

    def take(self, call: Call, size: int) -> _Seat:
        seat = _Seat(self, call)
        self.seats.append(seat)
        self.bytes += size
        return seat

    def call(self) -> Call:
        first = self.seats[0].call
        return replace(first, body={**first.body, "prompt": [seat.call.body["prompt"] for seat in self.seats]})

    def deal(self, payload: bytes) -> None:
        """Raises UpstreamError for what is no chunk of an answer to this list."""
        chunk = _parsed(payload)
        head = {name: value for name, value in chunk.items() if name not in ("choices", "usage")}
        for choice in chunk.get("choices") or ():
            self._deal(head, choice)
        if not self.open and len(self._spoken) == len(self.seats):
            self.open = True
            for seat, held in self._held:
                seat.give(held)
            self._held.clear()
        if self.open and any(not seat.gone for at, seat in enumerate(self.seats) if at not in self._finished):
            for at in self._finished:
                self.seats[at].end()

    def _deal(self, head: dict[str, Any], choice: dict[str, Any]) -> None:
        at, text = choice.get("index"), choice.get("text") or ""
        if not isinstance(at, int) or not 0 <= at < len(self.seats):
            raise _Misnumbered(f"The model's answer to a list of prompts broke off: it has no place {at!r:.20}.")
        if at in self._finished:
            if text:
                raise _Misnumbered("The model's answer to a list of prompts broke off: it answered one of them twice.")
            return
        seat = self.seats[at]
        # Answers are stored and shown one by one: each has an id of its own.
        seat.head = {**head, "id": f"{head['id']}-{at}"} if isinstance(head.get("id"), str) else head
        seat.texts.append(text)
        self._spoken.add(at)
        if choice.get("finish_reason"):
            self._finished.add(at)
        own = dump({**seat.head, "choices": [{**choice, "index": 0}]})
        if self.open:
            seat.give(own)
        else:
            self._held.append((seat, own))

    def finish(self) -> None:
        """The upstream said `[DONE]`. Raises when it has left somebody out."""
        if not self.open:
            raise _Misnumbered("The model's answer to a list of prompts broke off: it left some out.")
        for seat in self.seats:
            seat.end()

    def give_up(self, error: Exception) -> None:
        for seat in self.seats:
            own = error
            if isinstance(error, SubsecondError):
                own = copy(error)
                own.__cause__ = error
            seat.give(own)


def may_share(call: Call) -> bool:
    """Whether a list can hold it: one text, one choice, and nothing asked for that a list could answer otherwise."""
    body = call.body
    if call.endpoint != "text" or not isinstance(body.get("prompt"), str) or body.get("n") not in (None, 1):
        return False
    return all(name in SAFE or value is None for name, value in body.items() if name not in ("model", "prompt", "n"))


def _parameters(call: Call) -> str:
    """Equal for calls that differ in their prompt alone."""
    told = {name: value for name, value in call.body.items() if name not in ("model", "prompt")}
    return json.dumps(told, sort_keys=True)


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(payload)
    except (ValueError, RecursionError):
        raise UpstreamUnreachable("The model's stream broke off: an event is not JSON.") from None
    if isinstance(chunk, dict) and (error := chunk.get("error")):
        detail = error if isinstance(error, dict) else {"message": str(error)}
        raise UpstreamError("The model reported an error.", error=detail)
    if not isinstance(chunk, dict) or not _has_choices(chunk.get("choices")):
        raise UpstreamUnreachable("The model's stream broke off: an event is no chunk of an answer.")
    return chunk


def _has_choices(choices: Any) -> bool:
    if not isinstance(choices, list):
        return choices is None
    return all(isinstance(choice, dict) and isinstance(choice.get("text"), str | None) for choice in choices)


def _is_of_the_moment(error: Exception) -> bool:
    """Whether it says nothing of the list: each prompt alone would meet the same now."""
    if isinstance(error, UpstreamTimeout | Unavailable):
        return True
    if not isinstance(error, SubsecondError):
        return False
    return error.status in BUSY or error.retry_after is not None or error.code == "upstream_auth"


def _usage(call: Call, text: str) -> dict[str, Any]:
    """The upstream's is a sum over the list, or one of its prompts': nobody can tell, so it is estimated."""
    from subsecond.optimiser.tokens import Tokens  # noqa: PLC0415 -- tables that hardly any request needs

    counter = Tokens().counter(call.model)
    asked, answered = counter.count(call.body["prompt"]), counter.count(text)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "estimated": True,
    }
