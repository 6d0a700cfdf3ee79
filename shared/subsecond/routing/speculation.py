"""A fast model answers first, and a strong one stands behind it.

fast  ----------------- whole answer -> verifier: accepted -> the client gets it, the strong call is closed
           stagger ->                   '-- refused, or failed --.
strong        '--- first token ..... held back for `grace` ------'--> the client gets this stream

The client gets one of the two from its first byte on, never both. Calls with tools are not doubled, as for hedges.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Container
from contextlib import aclosing
from dataclasses import dataclass

from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.model import Answer, Call, Done, Event
from subsecond.routing.attempts import Asking, Opened, told
from subsecond.routing.hedging import close_all
from subsecond.routing.verifying import flaw, question, text_of
from subsecond.stats.trace import Step, Trace

# What is wrong with the answer, None where nothing is.
Verifier = Callable[[Call, Answer], Awaitable[str | None]]


async def checks(call: Call, answer: Answer) -> str | None:
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
    """The fast model's whole answer. refused: why it will not do, None where it does."""

    opened: Opened | None
    events: list[Event]
    refused: str | None

    async def aclose(self) -> None:
        """It is complete: there is nothing left to be closed."""


async def speculate(fast: Asking, strong: Asking, trace: Trace, terms: Speculation) -> AsyncGenerator[Event]:
    """Head, Chunks, Done, of one of the two. Raises what the strong one raises. To be closed.

    fast, strong: two askings of one request. What it saved and cost is in `trace.speculation`, and counted.
    """
    trace.source = "upstream"
    if fast.terms.hedges:
        fast.terms.hedges.budget.earn()
    trace.counts["speculations"] += 1
    with trace.step(Step.UPSTREAM):
        chosen = await _decide(fast, strong, trace, terms)
    async with aclosing(_again(chosen, trace) if isinstance(chosen, _Fast) else told(chosen, trace)) as events:
        async for event in events:
            yield event


async def _decide(fast: Asking, strong: Asking, trace: Trace, terms: Speculation) -> _Fast | Opened:
    quick = asyncio.create_task(_whole(fast, terms))
    sure: asyncio.Task[Opened] | None = None
    kept: object = None
    try:
        await asyncio.wait((quick,), timeout=terms.stagger)
        if not _does(quick):
            sure = asyncio.create_task(strong.opened())
            await _wait(quick, sure, terms.grace)
        if _does(quick):
            kept = quick
            _note(trace, quick.result(), strong_asked=sure is not None)
            return quick.result()
        assert sure
        refused = quick.result() if quick.done() else None  # an answer that ends from now on is too late
        await asyncio.wait((sure,))
        opened = sure.result()
        kept = sure
        _note(trace, refused, strong_asked=True)
        return opened
    finally:
        await close_all(task for task in (quick, sure) if task and task is not kept)


async def _wait(quick: asyncio.Task[_Fast], sure: asyncio.Task[Opened], grace: float) -> None:
    """Until it can be said which of the two it is."""
    await asyncio.wait((quick, sure), return_when=asyncio.FIRST_COMPLETED)
    if not quick.done():
        failed = sure.exception() is not None
        await asyncio.wait((quick,), timeout=None if failed else grace)


def _does(quick: asyncio.Task[_Fast]) -> bool:
    return quick.done() and quick.result().refused is None


async def _whole(fast: Asking, terms: Speculation) -> _Fast:
    """The fast model's answer, judged. Its failure is a refusal."""
    events: list[Event] = []
    try:
        opened = await fast.opened()
        async with aclosing(opened.events()) as coming:
            async for event in coming:
                events.append(event)  # noqa: PERF401 -- an async comprehension would lose them when it is cancelled
        answer = events[-1]
        assert isinstance(answer, Done)
        return _Fast(opened, events, await terms.verifier(fast.call, answer.answer))
    except SubsecondError as error:
        return _Fast(None, events, f"failed: {type(error).__name__}")


async def _again(fast: _Fast, trace: Trace) -> AsyncGenerator[Event]:
    assert fast.opened
    trace.first_byte()
    trace.model = fast.opened.candidate.name
    trace.usage = fast.opened.transcript.usage
    for event in fast.events:
        yield event


def _note(trace: Trace, fast: _Fast | None, *, strong_asked: bool) -> None:
    """fast: None where it was not waited for any longer."""
    refused = "too late" if fast is None else fast.refused
    accepted = refused is None
    usage = fast.opened.transcript.usage if fast and fast.opened else None
    wasted = 0 if accepted or not usage else usage.get("total_tokens", 0)
    trace.speculation = {
        "accepted": accepted,
        "refused": refused,
        "strong_asked": strong_asked,
        "wasted_tokens": wasted,
    }
    trace.counts["speculations_accepted" if accepted else "speculations_refused"] += 1
    if accepted and strong_asked:
        trace.counts["speculation_strong_closed"] += 1
    if fast and fast.opened and not accepted:
        said = (usage or {}).get("completion_tokens")
        fast.opened.attempt.lost = said if isinstance(said, int) else len(fast.events)
    if isinstance(wasted, int) and wasted:
        trace.counts["speculation_tokens"] += wasted


def yes_or_no(judge: Callable[[Call], Asking], model: str) -> Verifier:
    """A verifier that asks a model whether the answer will do. `judge`: the asking for a call. It costs a call, and the
    time of one: worth it only where the judge is much faster than the strong model."""

    async def verify(call: Call, answer: Answer) -> str | None:
        if found := flaw(call, answer):
            return found
        asking = judge(question(call, answer, model))
        opened = await asking.opened()
        said = ""
        async with aclosing(opened.events()) as events:
            async for event in events:
                if isinstance(event, Done):
                    said = text_of(event.answer)
        asking.trace.counts["speculation_tokens"] += (opened.transcript.usage or {}).get("total_tokens", 0)
        return None if said.strip().lower().startswith("yes") else "the judge says no"

    return verify
