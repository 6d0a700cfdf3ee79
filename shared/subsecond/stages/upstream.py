"""The model is asked, with the prompt trimmed for it, and its answer streamed through as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.aio.lazy import Lazy
from subsecond.errors import SubsecondError
from subsecond.model import Call, Done, Event, Head, Request, Tenant
from subsecond.ports import Reply, Upstream
from subsecond.resending import counted_in
from subsecond.routing.deadlines import SemanticBudget
from subsecond.stats.trace import Step, Trace
from subsecond.upstreams.admission import Admission
from subsecond.upstreams.live_answer import LiveAnswer
from subsecond.upstreams.whole_call import whole_reply

if TYPE_CHECKING:
    from subsecond.optimiser import Optimiser
    from subsecond.stages.route import Routed
    from subsecond.upstreams.list_prompts import Lists

# Where an upstream lists its models.
MODELS = "/models"
# Seconds for the optimiser, its loading included. It does not wait for anybody.
BOX = 5.0


@dataclass(frozen=True, slots=True)
class Models:
    """The stage's parts. optimiser: None where nothing is ever trimmed. optimise_all: the settings ask for it; else it
    is loaded and run for those requests alone that ask for it. routed: None without a catalogue; then every name goes
    to the one upstream; lists: where that takes lists of prompts. semantic_budget: the time that
    models leave for looking at similar questions."""

    upstream: Upstream
    admission: Admission
    optimiser: Lazy[Optimiser] | None = None
    optimise_all: bool = False
    routed: Routed | None = None
    lists: Lists | None = None
    semantic_budget: SemanticBudget = field(default_factory=SemanticBudget)

    def know(self, name: str) -> None:
        """Raises NotFound with the nearest names, where there is a catalogue."""
        if self.routed:
            self.routed.router.catalogue.find(name)

    async def ask(self, request: Request, call: Call) -> AsyncGenerator[Event]:
        """Head once the answer has begun and is no error, then Chunks, then Done. call: the request's, without its
        deadline where others share it.

        Raises UpstreamError, Overloaded, ContextLengthExceeded, Unavailable.
        """
        tenant, trace = request.tenant, request.trace
        counted_in(trace.counts)
        routed = self.routed and self.routed.ask(tenant, call, request.call.deadline, trace, self._optimised)
        async with aclosing(routed or self._of_one(tenant, call, trace)) as events:
            async for event in events:
                if isinstance(event, Done):
                    self._learn(call, trace)
                yield event

    async def relay(self, call: Call, trace: Trace) -> tuple[Reply, str]:
        """The whole reply to a call that is no completion (`/embeddings`), and its route, "" without a catalogue. It is
        admitted like one: four embeddings past admission held another tenant's chat for 3.7 s.

        Raises UpstreamError, Overloaded; with a catalogue InvalidRequest too.
        """
        if self.routed:
            return await self.routed.relay(call, trace)
        async with self.admission.place(call.model, trace.partition or "", call.deadline):
            return await whole_reply(self.upstream, call), ""

    async def listed(self, deadline: float | None, trace: Trace) -> Reply:
        """The upstream's own list of models. It counts as a model of its own. Raises UpstreamError, Overloaded."""
        async with self.admission.place(MODELS, trace.partition or "", deadline):
            return await self.upstream.fetch(MODELS, None, deadline)

    async def learn(self, trace: Trace) -> None:
        """From a request that has ended; and merge what was seen of the models into the shared figures, where the last
        merge is old enough."""
        self.semantic_budget.learn(trace)
        if self.routed:
            await self.routed.terms.health.flush()

    async def _of_one(self, tenant: Tenant, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        trace.source = "upstream"
        place = self.admission.place(call.model, trace.partition or "", call.deadline, call.batch)
        async with place:
            with trace.step(Step.OPTIMISE):
                sent = await self._optimised(call, trace)
            upstream = self.lists.of(tenant.partition) if self.lists else self.upstream
            async with aclosing(relayed(upstream, sent, trace)) as events:
                async for event in events:
                    yield event

    async def _optimised(self, call: Call, trace: Trace, window: int = 0) -> Call:
        if self.optimiser is None or not (self.optimise_all or call.optimise):
            return call
        outcome = await fail_open(trace, "optimise", self._run(call, trace, window), BOX)
        if isinstance(outcome, SubsecondError):
            raise outcome
        return outcome or call

    async def _run(self, call: Call, trace: Trace, window: int) -> Call | SubsecondError:
        """What is to be sent; what the client is to be told is no failure of ours."""
        assert self.optimiser
        optimiser = await self.optimiser.get()
        try:
            sent, trace.optimise = optimiser.run(call, call.optimise, trace.partition or "", window)
        except SubsecondError as error:
            return error
        trace.counts.update(trace.optimise.counts())
        return sent

    def _learn(self, call: Call, trace: Trace) -> None:
        if (trace.usage or {}).get("estimated"):
            return
        # Of several attempts nobody knows whose prompt the report is about.
        if trace.optimise and self.optimiser and self.optimiser.made and len(trace.attempts) <= 1:
            self.optimiser.made.learn(trace.optimise, trace.model or call.model, trace.usage)


async def relayed(upstream: Upstream, call: Call, trace: Trace) -> AsyncGenerator[Event]:
    """Head once the answer has begun and is no error, then what is said as it is said, then Done."""
    with trace.step(Step.UPSTREAM):
        answer = await LiveAnswer.open(upstream, call)
    try:
        trace.first_byte()
        yield Head("upstream", call.model, headers=answer.headers)
        for chunk in answer.chunks:
            yield chunk
        while said := await answer.next():
            yield said
        recording = answer.recording()
        trace.usage = recording.usage
        yield Done(recording)
    finally:
        answer.close()
