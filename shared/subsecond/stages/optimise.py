"""The prompt, trimmed for the model that is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from subsecond.aio.fail_open import fail_open
from subsecond.aio.lazy import Lazy
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import SubsecondError
from subsecond.model import Call
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.optimiser import Optimiser

# Seconds for the optimiser, its loading included. It does not wait for anybody.
BOX = 5.0


@dataclass(frozen=True, slots=True)
class Optimising:
    """The stage's parts. always: the settings ask for it; else the optimiser is loaded and run for those requests alone
    that ask for it."""

    optimiser: Lazy[Optimiser]
    always: bool = False

    async def trimmed(self, call: Call, trace: Trace, window: int = 0) -> Call:
        """What is sent. window: the model's, in tokens, 0 where not known. Raises ContextLengthExceeded."""
        with trace.step(Step.OPTIMISE):
            if not (self.always or call.optimise) or not dialect_of(call.endpoint).editable:
                return call
            outcome = await fail_open(trace, "optimise", self._run(call, trace, window), BOX)
        if isinstance(outcome, SubsecondError):
            raise outcome
        return outcome or call

    async def _run(self, call: Call, trace: Trace, window: int) -> Call | SubsecondError:
        """What is to be sent. A client's error is returned and not raised: `fail_open` would swallow it."""
        optimiser = await self.optimiser.get()
        try:
            sent, trace.optimise = optimiser.run(call, call.optimise, trace.partition or "", window)
        except SubsecondError as error:
            return error
        trace.counts.update(trace.optimise.counts())
        return sent

    def learn(self, call: Call, trace: Trace) -> None:
        """The upstream's own count of tokens corrects the estimates."""
        if (trace.usage or {}).get("estimated"):
            return
        # Of several attempts nobody knows whose prompt the report is about.
        if trace.optimise and self.optimiser.made and len(trace.attempts) <= 1:
            self.optimiser.made.learn(trace.optimise, trace.model or call.model, trace.usage)
