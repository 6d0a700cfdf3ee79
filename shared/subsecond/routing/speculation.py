"""A fast model answers first, and a strong one stands behind it.

fast  ----------------- whole answer -> verifier: accepted -> the client gets it, the strong call is closed
           stagger ->                   '-- refused, or failed --.
strong        '--- first token ..... held back for `grace` ------'--> the client gets this one

The client gets one of the two from its first byte on, never both. Both are asked in the client's form; a whole reply of
the strong model is held back as its first token is. Calls with tools are not doubled, as for hedges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass

from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.model import Call, Recording
from subsecond.routing.attempts import Attempts, OpenAnswer
from subsecond.routing.hedging import close_all
from subsecond.routing.spending import tokens_of
from subsecond.routing.verifying import flaw, question
from subsecond.stats.increments import count_in
from subsecond.stats.trace import Step, Trace

# What is wrong with the answer, None where nothing is.
Verifier = Callable[[Call, Recording], Awaitable[str | None]]


async def checks(call: Call, answer: Recording) -> str | None:
    """The default: what can be told without asking anybody, see `verifying`."""
    return flaw(call, answer)


@dataclass(frozen=True, slots=True)
class Speculation:
    """Seconds: until the strong model is asked too; for how long its first token waits for the fast one's end. judge:
    the model that is asked as well whether an answer will do, "" none."""

    stagger: float
    grace: float
    verifier: Verifier = checks
    judge: str = ""

    @classmethod
    def of(cls, settings: Settings, models: Container[str]) -> Speculation:
        """ValueError: the judge is none of the catalogue's models."""
        if (judge := settings.speculation_judge) and judge not in models:
            raise ValueError(f"SUBSECOND_SPECULATION_JUDGE={judge!r} is no model of the catalogue")
        return cls(settings.speculation_stagger, settings.speculation_grace, judge=judge)


@dataclass(slots=True)
class _Fast:
    """The fast model's whole answer, None where it failed. refused: why it will not do, None where it does."""

    opened: OpenAnswer | None
    refused: str | None

    @property
    def recording(self) -> Recording | None:
        return self.opened.recording if self.opened else None

    async def aclose(self) -> None:
        """Nobody gets it. It is complete: there is nothing left to be closed, but it was paid for."""
        if self.opened:
            self.opened.attempt.lost = tokens_of(self.recording, len(self.opened.chunks))


async def speculate(fast: Attempts, strong: Attempts, trace: Trace, terms: Speculation) -> OpenAnswer:
    """One of the two. Raises what the strong one raises.

    fast, strong: two askings of one request. What it saved and cost is in `trace.speculation`, and counted.
    """
    trace.source = "upstream"
    if fast.terms.hedges:
        fast.terms.hedges.budget.earn()
    trace.counts["speculations"] += 1
    with trace.step(Step.UPSTREAM):
        return await _decide(fast, strong, trace, terms)


async def _decide(fast: Attempts, strong: Attempts, trace: Trace, terms: Speculation) -> OpenAnswer:
    quick = asyncio.create_task(_judged(fast, terms))
    sure: asyncio.Task[OpenAnswer] | None = None
    kept: object = None
    try:
        await asyncio.wait((quick,), timeout=terms.stagger)
        if not _does(quick):
            sure = asyncio.create_task(strong.opened())
            await _wait(quick, sure, terms.grace)
        if _does(quick):
            kept = quick
            accepted = quick.result()
            _note(trace, accepted, strong_asked=sure is not None)
            assert accepted.opened
            return accepted.opened
        assert sure
        refused = quick.result() if quick.done() else None  # an answer that ends from now on is too late
        await asyncio.wait((sure,))
        opened = sure.result()
        kept = sure
        _note(trace, refused, strong_asked=True)
        return opened
    finally:
        await close_all(task for task in (quick, sure) if task and task is not kept)


async def _wait(quick: asyncio.Task[_Fast], sure: asyncio.Task[OpenAnswer], grace: float) -> None:
    """Until it can be said which of the two it is."""
    await asyncio.wait((quick, sure), return_when=asyncio.FIRST_COMPLETED)
    if not quick.done():
        failed = sure.exception() is not None
        await asyncio.wait((quick,), timeout=None if failed else grace)


def _does(quick: asyncio.Task[_Fast]) -> bool:
    return quick.done() and quick.result().refused is None


async def _judged(fast: Attempts, terms: Speculation) -> _Fast:
    """The fast model's answer. Its failure is a refusal."""
    try:
        opened = await fast.opened()
        try:
            return _Fast(opened, await terms.verifier(fast.call, await opened.heard()))
        except asyncio.CancelledError:
            await opened.aclose()
            raise
    except SubsecondError as error:
        return _Fast(None, f"failed: {type(error).__name__}")


def _note(trace: Trace, fast: _Fast | None, *, strong_asked: bool) -> None:
    """fast: None where it was not waited for any longer."""
    refused = "too late" if fast is None else fast.refused
    accepted = refused is None
    wasted = 0 if accepted or fast is None else _total(fast.recording)
    trace.speculation = {
        "accepted": accepted,
        "refused": refused,
        "strong_asked": strong_asked,
        "wasted_tokens": wasted,
    }
    trace.counts["speculations_accepted" if accepted else "speculations_refused"] += 1
    if accepted and strong_asked:
        trace.counts["speculation_strong_closed"] += 1
    if wasted:
        trace.counts["speculation_tokens"] += wasted


def _total(recording: Recording | None) -> int:
    return (count_in(recording.usage, "total_tokens") if recording else None) or 0


def yes_or_no(judge: Callable[[Call], Attempts], model: str) -> Verifier:
    """A verifier that asks a model whether the answer will do. `judge`: the asking for a call. It costs a call, and the
    time of one: worth it only where the judge is much faster than the strong model."""

    async def verify(call: Call, answer: Recording) -> str | None:
        if found := flaw(call, answer):
            return found
        asking = judge(question(call, answer, model))
        said = await (await asking.opened()).heard()
        asking.trace.counts["speculation_tokens"] += _total(said)
        return None if said.text.strip().lower().startswith("yes") else "the judge says no"

    return verify
