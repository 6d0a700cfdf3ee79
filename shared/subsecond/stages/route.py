"""With a catalogue: the model is chosen, and asked with others behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from subsecond.errors import SubsecondError
from subsecond.model import Call, Event, Tenant
from subsecond.ports import Reply, Upstream
from subsecond.routing.attempts import Attempts, AttemptTerms, Candidate, OpenAnswer, answer
from subsecond.routing.catalogue import Model
from subsecond.routing.hedging import may_double
from subsecond.routing.relaying import relay
from subsecond.routing.router import Route, Router, RoutingOverrides, output_of
from subsecond.routing.selection import Choice
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

    async def relay(self, call: Call, trace: Trace) -> tuple[Reply, str]:
        """As `Models.relay`: to the model that is asked for, or to those of its group, whose vectors are alike. Another
        model's would lie in another space: so neither the catalogue's fallbacks nor a choice by the question count."""
        first, *others = self.router.catalogue.group(call.model)
        route = Route(Choice(first, tuple(others), ("asked for by name",)), None)
        trace.route = route.public()
        candidates = [self._candidate(one, self.upstreams[one.server]) for one in (first, *others)]
        try:
            reply = await relay(candidates, call, trace, self.terms)
        except SubsecondError as error:
            error.route = route.line(trace.attempts, None)
            raise
        return reply, route.line(trace.attempts, trace.model)

    async def _opened(self, tenant: Tenant, route: Route, call: Call, trace: Trace, optimised: Optimised) -> OpenAnswer:
        models = {one.name: one for one in (route.choice.model, *route.choice.fallbacks)}

        async def sent(asked: Call, candidate: Candidate) -> Call:
            model = models[candidate.name]
            return await optimised(route.sent(asked, model), trace, model.window)

        candidates = [self._candidate(one, self._upstream(one, tenant)) for one in models.values()]
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
        model = self.router.catalogue.models[speculation.judge]
        judge = self._candidate(model, self._upstream(model, tenant))
        verifier = yes_or_no(lambda asked: Attempts([judge], asked, trace, self.terms, kind="judge"), judge.model)
        return replace(speculation, verifier=verifier)

    def _upstream(self, model: Model, tenant: Tenant) -> Upstream:
        lists = self.lists.get(model.server) if model.list_prompts else None
        return lists.of(tenant.partition) if lists else self.upstreams[model.server]

    @staticmethod
    def _candidate(model: Model, upstream: Upstream) -> Candidate:
        return Candidate(model.name, upstream, model.served or model.name, model.group, model.window)
