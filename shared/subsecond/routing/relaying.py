"""A whole call that is no completion, where models of one group can answer it: one after the other until one does.

What is left out of what `attempts` does for answers: hedges, patience, the optimiser. Nobody waits for a first token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from subsecond.errors import SubsecondError
from subsecond.model import Call
from subsecond.ports import Reply
from subsecond.routing.attempts import AttemptTerms, Candidate
from subsecond.routing.deadlines import check
from subsecond.routing.failures import is_the_models, wished_rest, worth_another
from subsecond.stats.trace import Attempt, Trace
from subsecond.upstreams.whole_call import whole_reply


async def relay(candidates: Sequence[Candidate], call: Call, trace: Trace, terms: AttemptTerms) -> Reply:
    """The first reply; the trace then has the name of who gave it. Raises the last one's error, or DeadlineExceeded."""
    # Those at rest come last, as for answers.
    waiting = sorted(candidates, key=lambda one: terms.health.circuit_open(one.name))
    for last, candidate in enumerate(waiting, 1 - len(waiting)):
        check(call.deadline, terms.ticks())
        trace.attempts.append(attempt := Attempt(candidate.name, "fallback" if trace.attempts else "first"))
        begun = terms.ticks()
        try:
            reply = await _asked(candidate, call, trace, terms)
        except SubsecondError as error:
            refused = "" if worth_another(error) else "refused: "
            attempt.outcome = f"{refused}{error.status} {type(error).__name__}"
            if last == 0 or refused:
                raise
            trace.counts["fallbacks"] += 1
        except BaseException:
            attempt.outcome = "cancelled"
            raise
        else:
            attempt.outcome, trace.model = "answered", candidate.name
            return reply
        finally:
            attempt.seconds = attempt.total = terms.ticks() - begun
    raise AssertionError  # there is a candidate


async def _asked(candidate: Candidate, call: Call, trace: Trace, terms: AttemptTerms) -> Reply:
    async with terms.admission.place(candidate.name, trace.partition or "", call.deadline):
        timer = terms.health.begin(candidate.name, "whole")
        try:
            reply = await whole_reply(candidate.upstream, replace(call, model=candidate.model))
        except BaseException as error:
            if isinstance(error, SubsecondError) and is_the_models(error):
                timer.failed(wished_rest(error))
            else:
                timer.abandoned()
            raise
        timer.replied(0)
        return reply
