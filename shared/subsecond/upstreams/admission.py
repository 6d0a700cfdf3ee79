"""How many upstream calls run at once: a bound for each model and each tenant, and a short, fair queue before it.

Past the queue a call is refused at once, with the time after which it is worth another try. A server that takes on
more than it can do answers everybody too late; one that refuses the rest keeps its pace. The bounds are one process's
own: on Lambda an environment has one request, and the function's reserved concurrency is the bound.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from weakref import WeakValueDictionary

from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, Overloaded

# How much the newest call counts in the average duration that `retry-after` is made from.
SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls at once of one model, of one tenant over all models, of one batch; calls that may wait, and for how many
    seconds. The others of a batch wait for their turn beside that."""

    model: int
    tenant: int
    waiting: int
    patience: float
    batch: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        calls = settings.model_calls, settings.tenant_calls, settings.waiting_calls
        return cls(*calls, settings.waiting_time, settings.batch_concurrency)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    model: str
    tenant: str
    admitted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Admission:
    """Used from one event loop. `ticks`: monotonic seconds."""

    def __init__(self, limits: Limits, *, ticks: Callable[[], float] = monotonic) -> None:
        self._limits = limits
        self._ticks = ticks
        self._models: Counter[str] = Counter()
        self._tenants: Counter[str] = Counter()
        # Each tenant's line; whose turn it is stands first.
        self._lines: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._average = 0.0
        self._batches: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def running(self) -> int:
        return self._models.total()

    def place(
        self, model: str, tenant: str, deadline: float | None = None, batch: str = ""
    ) -> AbstractAsyncContextManager[None]:
        """A place among the running calls while the context lasts. Raises Overloaded (429) when there is none in time,
        DeadlineExceeded when `deadline` (monotonic seconds) comes first. batch: names what the call is part of."""
        place = _Place(self, model, tenant, deadline)
        return self._in_turn(place, batch, deadline) if batch else place

    @asynccontextmanager
    async def _in_turn(self, place: _Place, batch: str, deadline: float | None) -> AsyncGenerator[None]:
        turns = self._batches.setdefault(batch, asyncio.Semaphore(self._limits.batch))
        try:
            async with asyncio.timeout(None if deadline is None else deadline - self._ticks()):
                await turns.acquire()
        except TimeoutError:
            raise DeadlineExceeded("The time is used up: the batch's other prompts were before this one.") from None
        try:
            async with place:
                yield
        finally:
            turns.release()

    async def enter(self, model: str, tenant: str, deadline: float | None) -> float:
        """For `_Place`. Since when the call runs."""
        if self._has_room(model, tenant):
            self._take(model, tenant)
        else:
            await self._wait(model, tenant, deadline)
        return self._ticks()

    def leave(self, model: str, tenant: str, begun: float) -> None:
        """For `_Place`."""
        self._average += SHARE * (self._ticks() - begun - self._average)
        self._leave(model, tenant)

    def _has_room(self, model: str, tenant: str) -> bool:
        return self._models[model] < self._limits.model and self._tenants[tenant] < self._limits.tenant

    def _take(self, model: str, tenant: str) -> None:
        self._models[model] += 1
        self._tenants[tenant] += 1

    def _leave(self, model: str, tenant: str) -> None:
        for counts, name in ((self._models, model), (self._tenants, tenant)):
            counts[name] -= 1
            if not counts[name]:
                del counts[name]
        while waiter := self._next():
            self._take(waiter.model, waiter.tenant)
            waiter.admitted.set_result(None)

    async def _wait(self, model: str, tenant: str, deadline: float | None) -> None:
        self._make_room_in_line(tenant)
        waiter = _Waiter(model, tenant)
        self._lines.setdefault(tenant, deque()).append(waiter)
        left = math.inf if deadline is None else deadline - self._ticks()
        try:
            async with asyncio.timeout(max(0.0, min(self._limits.patience, left))):
                await waiter.admitted
        except BaseException as error:
            self._give_up(waiter)
            if not isinstance(error, TimeoutError):
                raise
            if left < self._limits.patience:
                raise DeadlineExceeded("The time is used up: other calls were before this one.") from None
            raise self._overloaded() from None

    def _give_up(self, waiter: _Waiter) -> None:
        line = self._lines.get(waiter.tenant)
        if line and waiter in line:
            self._remove(waiter, line)
        elif not waiter.admitted.cancelled() and not waiter.admitted.exception():
            self._leave(waiter.model, waiter.tenant)  # admitted in the moment in which it gave up

    def _next(self) -> _Waiter | None:
        """Who may enter now: of the tenant whose turn it is, the first whose model has room."""
        for tenant, line in self._lines.items():
            for waiter in line:
                # One that is done has been cancelled, and is about to take itself out.
                if not waiter.admitted.done() and self._has_room(waiter.model, tenant):
                    self._remove(waiter, line)
                    if line:
                        self._lines.move_to_end(tenant)
                    return waiter
        return None

    def _remove(self, waiter: _Waiter, line: deque[_Waiter]) -> None:
        line.remove(waiter)
        if not line:
            del self._lines[waiter.tenant]

    def _make_room_in_line(self, tenant: str) -> None:
        """When the queue is full, the newest of the longest line goes, where the newcomer's own line is shorter."""
        if self.waiting < self._limits.waiting:
            return
        longest = max(self._lines.values(), key=len, default=deque[_Waiter]())
        if len(longest) <= len(self._lines.get(tenant, ())) + 1:
            raise self._overloaded()
        last = longest[-1]
        self._remove(last, self._lines[last.tenant])
        if not last.admitted.done():  # else it has been cancelled, and has not run since
            last.admitted.set_exception(self._overloaded())

    def _overloaded(self) -> Overloaded:
        rounds = (self.waiting + 1) / max(1, min(self._limits.model, self._limits.tenant))
        return Overloaded(max(1, math.ceil(self._average * rounds)))


class _Place(AbstractAsyncContextManager[None]):
    """One call's place. A class: three generators, nested, took 4 % of a whole miss's time."""

    __slots__ = ("_admission", "_begun", "_deadline", "_model", "_tenant")

    def __init__(self, admission: Admission, model: str, tenant: str, deadline: float | None) -> None:
        self._admission = admission
        self._model = model
        self._tenant = tenant
        self._deadline = deadline

    async def __aenter__(self) -> None:
        self._begun = await self._admission.enter(self._model, self._tenant, self._deadline)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._admission.leave(self._model, self._tenant, self._begun)
