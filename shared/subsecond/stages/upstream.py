"""The model is asked, and its answer streamed through as it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast, get_args

from subsecond.aio.lazy import Lazy
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import DialectNotSpoken, NotFound, SubsecondError
from subsecond.model import Call, Done, Endpoint, Event, Head, Passage, Request
from subsecond.ports import ByteStream, EventStream, Keeping, Owners, Reply, Upstream
from subsecond.resending import counted_in
from subsecond.routing.deadlines import SemanticBudget
from subsecond.stats.trace import Step, Trace
from subsecond.upstreams.admission import Admission
from subsecond.upstreams.live_answer import LiveAnswer
from subsecond.upstreams.whole_call import whole_reply

if TYPE_CHECKING:
    from subsecond.stages.optimise import Optimising
    from subsecond.stages.route import Chosen, Routed
    from subsecond.upstreams.list_prompts import Lists

# Where an upstream lists its models.
MODELS = "/models"


@dataclass(frozen=True, slots=True)
class Models:
    """The stage's parts. routed: None without a catalogue; then every name goes to the one upstream; lists: where that
    takes lists of prompts. semantic_budget: the time that models leave for looking at similar questions. spoken: the
    dialects of the one upstream. owners: whose the objects are that upstreams keep."""

    upstream: Upstream
    admission: Admission
    routed: Routed | None = None
    lists: Lists | None = None
    semantic_budget: SemanticBudget = field(default_factory=SemanticBudget)
    spoken: frozenset[Endpoint] = frozenset(get_args(Endpoint))
    owners: Lazy[Owners] | None = None

    def know(self, call: Call) -> None:
        """Raises NotFound with the nearest names, where there is a catalogue; DialectNotSpoken."""
        if self.routed and call.endpoint != "embeddings":
            self.routed.router.known(call)
        elif self.routed:
            self.routed.router.catalogue.find(call.model)
        elif call.endpoint not in self.spoken:
            raise DialectNotSpoken(dialect_of(call.endpoint).name, self.spoken)

    async def ask(self, request: Request, call: Call) -> AsyncGenerator[Event]:
        """The one upstream: Head once the answer has begun and is no error, then what is said as it is said, then Done.
        call: what is sent. Raises UpstreamError, Overloaded, ContextLengthExceeded, Unavailable."""
        trace, partition = request.trace, request.tenant.partition
        trace.source = "upstream"
        counted_in(trace.counts)
        upstream = self.lists.of(partition) if self.lists else self.upstream
        async with self.admission.place(call.model, partition, call.deadline, call.batch):
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

    async def ask_chosen(self, chosen: Chosen, optimising: Optimising) -> AsyncGenerator[Event]:
        """The models of the catalogue, as `ask`. An error says too who was tried."""
        counted_in(chosen.trace.counts)
        try:
            opened = await chosen.opened(optimising)
            async with aclosing(opened.events(chosen.line(opened.candidate.name))) as events:
                async for event in events:
                    yield event
        except SubsecondError as error:
            error.route = chosen.line(None)
            raise

    async def relay(self, call: Call, trace: Trace) -> tuple[Reply, str]:
        """The whole reply to a call that is no completion (`/embeddings`), and its route, "" without a catalogue. It is
        admitted like one: four embeddings past admission held another tenant's chat for 3.7 s.

        Raises UpstreamError, Overloaded; with a catalogue InvalidRequest too.
        """
        if self.routed:
            return await self.routed.relay(call, trace)
        async with self.admission.place(call.model, trace.partition or "", call.deadline):
            return await whole_reply(self.upstream, call), ""

    def beside(self, name: str, place: str) -> str:
        """The model to ask under this name where the answer goes on from an object of the model `place`: its own, or
        one on the same server."""
        if not self.routed:
            return name
        models = self.routed.router.catalogue.models
        asked, made = models.get(name), models.get(place)
        return name if made is None or (asked and asked.server == made.server) else made.name

    async def kept(
        self, place: str, method: str, path: str, deadline: float | None, trace: Trace
    ) -> AsyncGenerator[Reply | EventStream]:
        """What the upstream says of an object that it keeps, once; its place is given back when this generator is
        closed. place: the model that made it. Raises UpstreamError, Overloaded, NotFound."""
        upstream = self.upstream
        if self.routed:
            model = self.routed.router.catalogue.models.get(place)
            if model is None:
                raise NotFound("The model that made it is in the catalogue no more.", code="not_found")
            upstream = self.routed.upstreams[model.server]
        if not hasattr(upstream, "kept"):
            raise DialectNotSpoken(dialect_of("responses").name)
        keeping = cast("Keeping", upstream)
        trace.model, trace.source = place, "upstream"
        counted_in(trace.counts)
        async with self.admission.place(place, trace.partition or "", deadline):
            with trace.step(Step.UPSTREAM):
                answer = await keeping.kept(method, path, deadline)
            try:
                trace.first_byte()
                yield answer
            finally:
                if not isinstance(answer, Reply):
                    answer.close()

    async def listed(self, query: str, deadline: float | None, trace: Trace) -> Reply:
        """The upstream's own list of models. It counts as a model of its own. Raises UpstreamError, Overloaded."""
        async with self.admission.place(MODELS, trace.partition or "", deadline):
            return await self.upstream.fetch(MODELS + query, None, deadline)

    async def pass_on(self, passage: Passage, partition: str, trace: Trace) -> AsyncGenerator[ByteStream]:
        """The answer to what passes unread, once; its place is given back when this generator is closed. Raises
        UpstreamError, Overloaded, NotFound; with a catalogue InvalidRequest where no model of it is named."""
        trace.source = "upstream"
        counted_in(trace.counts)
        if not self.routed and passage.endpoint and passage.endpoint not in self.spoken:
            raise DialectNotSpoken(dialect_of(passage.endpoint).name, self.spoken)
        upstream, sent = self.routed.server_of(passage) if self.routed else (self.upstream, passage)
        async with self.admission.place(passage.model or passage.path, partition, passage.deadline):
            with trace.step(Step.UPSTREAM):
                answer = await upstream.pass_on(sent)
            try:
                trace.first_byte()
                yield answer
            finally:
                answer.close()

    async def learn(self, trace: Trace) -> None:
        """From a request that has ended; and merge what was seen of the models into the shared figures, where the last
        merge is old enough."""
        self.semantic_budget.learn(trace)
        if self.routed:
            await self.routed.terms.health.flush()
