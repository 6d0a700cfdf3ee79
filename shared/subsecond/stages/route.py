"""With a catalogue: which model is asked, and which others stand behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from subsecond.dialects.lookup import dialect_of
from subsecond.errors import InvalidRequest, SubsecondError
from subsecond.model import Call, Passage, Request, Tenant
from subsecond.ports import Reply, Upstream
from subsecond.routing.attempts import Attempts, AttemptTerms, Candidate, OpenAnswer, answer
from subsecond.routing.catalogue import Model
from subsecond.routing.hedging import may_double
from subsecond.routing.relaying import relay
from subsecond.routing.router import Route, Router, RoutingOverrides, output_of
from subsecond.routing.selection import Choice
from subsecond.routing.speculation import Speculation, speculate, yes_or_no
from subsecond.stages.optimise import Optimising
from subsecond.stats.trace import Step, Trace
from subsecond.upstreams.passage import renamed

if TYPE_CHECKING:
    from subsecond.upstreams.list_prompts import Lists


# Models that an error names.
SOME = 10


@dataclass(frozen=True, slots=True)
class Routed:
    """The stage's parts. upstreams: by the servers' names in the catalogue, "" the gateway's own. speculation: None
    where it is off. lists: of those servers that have models which take lists of prompts."""

    router: Router
    upstreams: Mapping[str, Upstream]
    terms: AttemptTerms
    speculation: Speculation | None = None
    lists: Mapping[str, Lists] = field(default_factory=dict)

    def choose(self, request: Request, call: Call) -> Chosen:
        """Which models may answer, in which order. call: the request's, without its deadline where others share it.
        Raises NotFound, Unavailable."""
        trace = request.trace
        overrides = RoutingOverrides(call.quality, call.floor, call.prefer)
        with trace.step(Step.ROUTE):
            predict = partial(self.terms.health.predict, form=call.form, tokens=output_of(call))
            within = replace(call, deadline=request.call.deadline)
            route = self.router.route(within, request.tenant, predict, overrides)
        trace.route = route.public()
        return Chosen(self, route, request.tenant, call, trace)

    async def relay(self, call: Call, trace: Trace) -> tuple[Reply, str]:
        """As `Models.relay`: to the model that is asked for, or to those of its group, whose vectors are alike. Another
        model's would lie in another space: so neither the catalogue's fallbacks nor a choice by the question count."""
        first, *others = self.router.catalogue.group(call.model)
        route = Route(Choice(first, tuple(others), ("asked for by name",)), None)
        trace.route = route.public()
        candidates = [self.candidate(one, self.upstreams[one.server]) for one in (first, *others)]
        try:
            reply = await relay(candidates, call, trace, self.terms)
        except SubsecondError as error:
            error.route = route.line(trace.attempts, None)
            raise
        return reply, route.line(trace.attempts, trace.model)

    def server_of(self, passage: Passage) -> tuple[Upstream, Passage]:
        """Where what passes unread goes: to the model that it names, under the name that it has there. Raises
        NotFound, DialectNotSpoken, InvalidRequest where it names none."""
        if not passage.model:
            names = ", ".join(list(self.router.catalogue.models)[:SOME])
            raise InvalidRequest(f"'model' must name one of the catalogue's: {names}.", param="model")
        if passage.endpoint:
            self.router.known(Call(passage.endpoint, passage.model, {}))
        first = self.router.catalogue.group(passage.model)[0]
        return self.upstreams[first.server], renamed(passage, first.served or first.name)

    def upstream(self, model: Model, tenant: Tenant) -> Upstream:
        lists = self.lists.get(model.server) if model.list_prompts else None
        return lists.of(tenant.partition) if lists else self.upstreams[model.server]

    @staticmethod
    def candidate(model: Model, upstream: Upstream) -> Candidate:
        return Candidate(model.name, upstream, model.served or model.name, model.group, model.window)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The models for one call. Until one answers, nobody knows which it will be."""

    routed: Routed
    route: Route
    tenant: Tenant
    call: Call
    trace: Trace

    def line(self, answers: str | None) -> str:
        """For the header `x-subsecond-route`: who answers, and who was tried before. None: nobody answers."""
        return self.route.line(self.trace.attempts, answers)

    async def opened(self, optimising: Optimising) -> OpenAnswer:
        """The model that answers. Each one's prompt is optimised when its turn comes: it has a window and a template of
        its own, and most are never asked. Raises SubsecondError."""
        choice, call, trace, terms = self.route.choice, self.call, self.trace, self.routed.terms
        models = {one.name: one for one in (choice.model, *choice.fallbacks)}

        async def sent(asked: Call, candidate: Candidate) -> Call:
            model = models[candidate.name]
            return await optimising.trimmed(self.route.sent(asked, model), trace, model.window)

        candidates = [self._candidate(one) for one in models.values()]
        fast = [one for one in candidates if models[one.name].tier < choice.model.tier]
        speculation = self._speculation()
        if speculation and fast:
            strong = [one for one in candidates if one not in fast]
            found = await speculate(
                Attempts(fast[:1], call, trace, terms, sent, "fast"),
                Attempts(strong, call, trace, terms, sent, "strong"),
                trace,
                self._judged(speculation),
            )
        else:
            found = await answer(candidates, call, trace, terms, sent)
        self.routed.router.answered(self.route, found.candidate.name)
        return found

    def _speculation(self) -> Speculation | None:
        """None where it is off, or of no use: `verifying` reads two dialects only."""
        may = self.route.alias and dialect_of(self.call.endpoint).editable and may_double(self.call, tools=False)
        return self.routed.speculation if may else None

    def _judged(self, speculation: Speculation) -> Speculation:
        """With a judge, where one is named. Its call is one of the request's attempts."""
        if not speculation.judge:
            return speculation
        judge = self._candidate(self.routed.router.catalogue.models[speculation.judge])
        terms = self.routed.terms
        verifier = yes_or_no(lambda asked: Attempts([judge], asked, self.trace, terms, kind="judge"), judge.model)
        return replace(speculation, verifier=verifier)

    def _candidate(self, model: Model) -> Candidate:
        return self.routed.candidate(model, self.routed.upstream(model, self.tenant))
