"""With a catalogue: the model is chosen, and asked with others behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from subsecond.errors import SubsecondError
from subsecond.model import Call, Event, Tenant
from subsecond.ports import Upstream
from subsecond.routing.attempts import Attempts, AttemptTerms, Candidate, OpenAnswer, answer
from subsecond.routing.catalogue import Model
from subsecond.routing.hedging import may_double
from subsecond.routing.router import Route, Router, RoutingOverrides, output_of
from subsecond.routing.speculation import Speculation, speculate, yes_or_no
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.upstreams.list_prompts import Lists

# The optimiser: what is sent to a model with that window (tokens), made from the call.
Optimised = Callable[[Call, Trace, int], Awaitable[Call]]


@dataclass(frozen=True, slots=True)
class Routed:
    """upstreams: by the servers' names in the catalogue, "" the gateway's own. speculation: None where it is off.
    lists: of those servers that have models which take lists of prompts."""

    router: Router
    upstreams: Mapping[str, Upstream]
    terms: AttemptTerms
    speculation: Speculation | None = None
    lists: Mapping[str, Lists] = field(default_factory=dict)

    async def ask(
        self, tenant: Tenant, call: Call, within: float | None, trace: Trace, optimised: Optimised
    ) -> AsyncGenerator[Event]:
        """As `Models.ask`. within: the deadline of the request that leads. Raises NotFound, Unavailable too."""
        overrides = RoutingOverrides(call.quality, call.floor, call.prefer)
        with trace.step(Step.ROUTE):
            predict = partial(self.terms.health.predict, form=call.form, tokens=output_of(call.body))
            route = self.router.route(replace(call, deadline=within), tenant, predict, overrides)
        trace.route = route.public()
        try:
            # Until a model answers, nobody knows which one it will be.
            opened = await self._opened(tenant, route, call, trace, optimised)
            line = route.line(trace.attempts, opened.candidate.name)
            async with aclosing(opened.events(line)) as events:
                async for event in events:
                    yield event
        except SubsecondError as error:
            error.route = route.line(trace.attempts, None)
            raise

    async def _opened(self, tenant: Tenant, route: Route, call: Call, trace: Trace, optimised: Optimised) -> OpenAnswer:
        models = {one.name: one for one in (route.choice.model, *route.choice.fallbacks)}

        async def sent(asked: Call, candidate: Candidate) -> Call:
            model = models[candidate.name]
            return await optimised(route.sent(asked, model), trace, model.window)

        candidates = [self._candidate(one, tenant) for one in models.values()]
        fast = [one for one in candidates if models[one.name].tier < route.choice.model.tier]
        if self.speculation and fast and route.alias and may_double(call, tools=False):
            strong = [one for one in candidates if one not in fast]
            return await speculate(
                Attempts(fast[:1], call, trace, self.terms, sent, "fast"),
                Attempts(strong, call, trace, self.terms, sent, "strong"),
                trace,
                self._judged(self.speculation, tenant, trace),
            )
        return await answer(candidates, call, trace, self.terms, sent)

    def _judged(self, speculation: Speculation, tenant: Tenant, trace: Trace) -> Speculation:
        """With a judge, where one is named. Its call is one of the request's attempts."""
        if not speculation.judge:
            return speculation
        judge = self._candidate(self.router.catalogue.models[speculation.judge], tenant)
        verifier = yes_or_no(lambda asked: Attempts([judge], asked, trace, self.terms, kind="judge"), judge.model)
        return replace(speculation, verifier=verifier)

    def _candidate(self, model: Model, tenant: Tenant) -> Candidate:
        lists = self.lists.get(model.server) if model.list_prompts else None
        upstream = lists.of(tenant.partition) if lists else self.upstreams[model.server]
        return Candidate(model.name, upstream, model.served or model.name, model.group, model.window)
