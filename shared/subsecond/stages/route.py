"""With a catalogue: the model is chosen, and asked with others behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

from subsecond.model import Call, Event, Tenant
from subsecond.ports import Upstream
from subsecond.routing.attempts import Asking, Candidate, Terms, answer
from subsecond.routing.catalogue import Model
from subsecond.routing.hedging import may_double
from subsecond.routing.router import Route, Router, Wish
from subsecond.routing.speculation import Speculation, speculate
from subsecond.stats.trace import Trace

# The optimiser: what is sent to a model with that window (tokens), made from the call.
Optimised = Callable[[Call, Trace, int], Awaitable[Call]]


@dataclass(frozen=True, slots=True)
class Routed:
    """upstreams: by the servers' names in the catalogue, "" the gateway's own. speculation: None where it is off."""

    router: Router
    upstreams: Mapping[str, Upstream]
    terms: Terms
    speculation: Speculation | None = None

    async def ask(
        self, tenant: Tenant, call: Call, within: float | None, trace: Trace, optimised: Optimised
    ) -> AsyncGenerator[Event]:
        """As `Models.ask`. within: the deadline of the request that leads. Raises NotFound, Unavailable too."""
        wish = Wish(call.quality, call.floor, call.prefer)
        with trace.step("route"):
            route = self.router.route(replace(call, deadline=within), tenant, self.terms.health.predict, wish)
        trace.route, trace.route_line = route.public(), route.choice.line
        async with aclosing(self._events(route, call, trace, optimised)) as events:
            async for event in events:
                yield event

    def _events(self, route: Route, call: Call, trace: Trace, optimised: Optimised) -> AsyncGenerator[Event]:
        models = {one.name: one for one in (route.choice.model, *route.choice.fallbacks)}

        async def sent(asked: Call, candidate: Candidate) -> Call:
            model = models[candidate.name]
            return await optimised(route.sent(asked, model), trace, model.window)

        candidates = [self._candidate(one) for one in models.values()]
        fast = [one for one in candidates if models[one.name].tier < route.choice.model.tier]
        if self.speculation and fast and route.alias and may_double(call, tools=False):
            strong = [one for one in candidates if one not in fast]
            return speculate(
                Asking(fast[:1], call, trace, self.terms, sent, "fast"),
                Asking(strong, call, trace, self.terms, sent, "strong"),
                trace,
                self.speculation,
            )
        return answer(candidates, call, trace, self.terms, sent)

    def _candidate(self, model: Model) -> Candidate:
        return Candidate(model.name, self.upstreams[model.server], model.served or model.name, model.group)
