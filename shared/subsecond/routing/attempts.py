"""One answer out of several candidates, tried in order until one answers.

A candidate is opened up to the first text of its stream, or to its whole reply. Nothing is given to the client before
that, so whatever fails until then can be tried elsewhere: no answer in a 200, an error in a stream, a reply that breaks
off. After a first text never, because two answers would be mixed in one. The deadline holds for all attempts together.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from time import monotonic
from typing import Any

from subsecond.dialects.dialect import Dialect
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import DeadlineExceeded, SubsecondError, UpstreamError, UpstreamTimeout
from subsecond.model import Call, Chunk, Done, Event, Head, Recording
from subsecond.ports import Upstream
from subsecond.routing.call_timer import CallTimer
from subsecond.routing.deadlines import check, remaining
from subsecond.routing.failures import is_full, is_the_models, wished_rest, worth_another
from subsecond.routing.health import Health
from subsecond.routing.hedging import Hedges, race
from subsecond.routing.router import output_of
from subsecond.routing.spending import prompt_tokens, tokens_lost, tokens_of
from subsecond.stats.trace import Attempt, Step, Trace
from subsecond.upstreams.admission import Admission
from subsecond.upstreams.live_answer import LiveAnswer

# Tokens that an answer may have where the request has no limit: a whole reply is given the time for them.
LONGEST_ANSWER = 4_096
# Seconds by which a timer may end too early.
ROUNDING = 0.001


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who can answer. name: under which its health is known. model: what its upstream calls it. group:
    candidates of one group give equivalent answers; "" is a group of its own. window: tokens, 0 where not known."""

    name: str
    upstream: Upstream
    model: str
    group: str = ""
    window: int = 0


@dataclass(frozen=True, slots=True)
class AttemptTerms:
    """What all requests share. patience: seconds for a first token where another candidate is left. hedges: None for
    none. `ticks`: the clock of deadlines, monotonic seconds."""

    admission: Admission
    health: Health
    patience: float
    hedges: Hedges | None = None
    ticks: Callable[[], float] = monotonic


@dataclass(frozen=True, slots=True)
class Limit:
    """Until when a round's candidates may give their first token, or their reply. hurried: the request's deadline made
    it shorter than the setting would."""

    until: float
    hurried: bool


Sent = Callable[[Call, Candidate], Awaitable[Call]]


async def as_served(call: Call, candidate: Candidate) -> Call:
    """The call under the name that the candidate's upstream knows."""
    return replace(call, model=candidate.model)


@dataclass(slots=True, eq=False)
class OpenAnswer:
    """A candidate that has answered: its first chunks are here, the rest comes from `live`. recording: of an answer
    that has ended already."""

    candidate: Candidate
    live: LiveAnswer
    chunks: list[Chunk]
    recording: Recording | None
    timer: CallTimer
    attempt: Attempt
    trace: Trace
    stack: AsyncExitStack

    async def aclose(self) -> None:
        """Give it up."""
        self.attempt.outcome = "cancelled"
        self.attempt.lost = tokens_of(self.recording, len(self.chunks))
        await self.stack.aclose()

    async def events(self, route: str = "") -> AsyncGenerator[Event]:
        """Head, Chunks, Done: what the client gets. Raises UpstreamError when it breaks off. To be closed."""
        self.trace.first_byte()
        self.trace.model = self.candidate.name
        count = len(self.chunks)
        try:
            yield Head("upstream", self.candidate.name, route=route, headers=self.live.headers)
            for chunk in self.chunks:
                yield chunk
            while more := await self.live.next():
                count += not more.comment
                yield more
        except SubsecondError as error:
            self._broke(error)
            raise
        finally:
            await self.stack.aclose()
        recording = self._finished(count)
        self.trace.usage = recording.usage
        yield Done(replace(recording, by=self.candidate.name))

    async def heard(self) -> Recording:
        """The answer to its end, for who judges it before a client gets it: `events` then has all of it. Raises
        UpstreamError."""
        try:
            while chunk := await self.live.next():
                self.chunks.append(chunk)
        except SubsecondError as error:
            self._broke(error)
            raise
        finally:
            await self.stack.aclose()
        return self._finished(len(self.chunks))

    def _broke(self, error: SubsecondError) -> None:
        self.attempt.outcome = f"broke off: {type(error).__name__}"
        self.attempt.total = self.attempt.seconds + self.timer.speaking
        if is_the_models(error):
            self.timer.failed()
        else:
            self.timer.abandoned()

    def _finished(self, chunks: int) -> Recording:
        if self.recording is None:
            self.recording = self.live.recording()
            self.attempt.total = self.attempt.seconds + self.timer.speaking
            self.timer.finished(tokens_of(self.recording, chunks))
        return self.recording


@dataclass(slots=True)
class Attempts:
    """One request's attempts. sent: what a candidate is sent, which may be made for it (its window, its prompt). kind:
    of the first attempt, for the trace."""

    candidates: Sequence[Candidate]
    call: Call
    trace: Trace
    terms: AttemptTerms
    sent: Sent = as_served
    kind: str = "first"
    _waiting: list[Candidate] = field(init=False, default_factory=list)
    _running: int = field(init=False, default=0)

    async def opened(self) -> OpenAnswer:
        """The candidate that answers first. Raises the last one's error, or DeadlineExceeded."""
        health = self.terms.health
        self.trace.prompt_tokens = partial(prompt_tokens, self.call)
        # Those at rest come last. They are not left out: if all circuit, one of them is still the best that there is.
        self._waiting = sorted(self.candidates, key=lambda one: health.circuit_open(one.name))
        kind = self.kind
        while True:
            check(self.call.deadline, self.terms.ticks())
            candidate = self._waiting.pop(0)
            try:
                return await self._round(candidate, kind)
            except SubsecondError as error:
                if is_full(error):
                    self._waiting = [one for one in self._waiting if _may_hold_more(one, candidate)]
                if not self._waiting or not worth_another(error):
                    raise
            kind = "fallback"
            self.trace.counts["fallbacks"] += 1

    async def _round(self, candidate: Candidate, kind: str) -> OpenAnswer:
        """One candidate, and perhaps a hedge beside it."""
        hedges = self.terms.hedges
        alone = not any(_are_equivalent(candidate, other) for other in self._waiting)
        limit = self._limit(candidate)
        if alone or hedges is None or not hedges.may(self.call):
            return await self._open(candidate, kind, limit)
        delay = self.terms.health.late(candidate.name, hedges.after, self.call.form)
        return await race(
            self._open(candidate, kind, limit),
            delay,
            lambda: self._hedge(candidate, hedges, limit),
            lambda error: not worth_another(error),
        )

    def _hedge(self, candidate: Candidate, hedges: Hedges, limit: Limit) -> Coroutine[Any, Any, OpenAnswer] | None:
        health = self.terms.health
        for other in self._waiting:
            if _are_equivalent(candidate, other) and not health.circuit_open(other.name):
                if not hedges.budget.take():
                    self.trace.counts["hedges_unaffordable"] += 1
                    return None
                self._waiting.remove(other)
                self.trace.counts["hedges"] += 1
                return self._open(other, "hedge", limit)
        return None

    def _limit(self, candidate: Candidate) -> Limit:
        """For this round: what is left after it shall do for the next candidate, or be half of it at least. A whole
        reply has beside a first token's patience the time to say all that it may: long is not late."""
        now, health = self.terms.ticks(), self.terms.health
        left = remaining(self.call.deadline, now)
        if not self._waiting:
            return Limit(now + left, hurried=True)
        patience = self.terms.patience
        if self.call.form == "whole":
            patience += health.seconds_for(candidate.name, self._most)
        after = health.predict(self._waiting[0].name, self.call.form, output_of(self.call))
        seconds = max(left / 2, left - after.ttft_p95)
        return Limit(now + min(patience, seconds), hurried=seconds < patience)

    async def _open(self, candidate: Candidate, kind: str, limit: Limit) -> OpenAnswer:
        """One attempt, up to its first text or whole reply. Raises SubsecondError."""
        begun = self.terms.ticks()
        attempt = Attempt(candidate.name, kind)
        self.trace.attempts.append(attempt)
        watches: list[CallTimer] = []
        self._running += 1
        try:
            opened = await self._begun(candidate, attempt, watches, limit)
        except SubsecondError as error:
            _failed(attempt, error, self.terms.ticks() - begun)
            for timer in watches:
                _tell(timer, error)
            raise
        except BaseException:
            attempt.outcome = "cancelled"
            self._lose(attempt, watches)
            for timer in watches:
                timer.abandoned()
            raise
        finally:
            self._running -= 1
            attempt.seconds = self.terms.ticks() - begun
        attempt.outcome = "answered"
        attempt.total = attempt.seconds if opened.recording else None
        _judge(opened, self._dialect)
        if kind == "hedge":
            self.trace.counts["hedges_won"] += 1
        return opened

    async def _begun(
        self, candidate: Candidate, attempt: Attempt, watches: list[CallTimer], limit: Limit
    ) -> OpenAnswer:
        patience = limit.until - self.terms.ticks()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(None if patience == inf else max(0.0, patience)):
                    call = await self.sent(self.call, candidate)
                    partition = self.trace.partition or ""
                    place = self.terms.admission.place(candidate.name, partition, call.deadline, call.batch)
                    await stack.enter_async_context(place)
                    watches.append(self.terms.health.begin(candidate.name, call.form))
                    live = await LiveAnswer.open(candidate.upstream, call)
                    stack.callback(live.close)
                    chunks, recording = await _up_to_the_first_text(live, call)
            except TimeoutError:
                self._lose(attempt, watches)
                # A time-out that the request's deadline made short says nothing of the model. Any other is its failure,
                # however short the setting is: else a model that hangs would never be left.
                if limit.hurried:
                    _give_up(watches)
                if remaining(self.call.deadline, self.terms.ticks()) < ROUNDING:
                    raise DeadlineExceeded("The time limit of this request is used up.") from None
                raise UpstreamTimeout(f"The model gave no {_awaited(self.call)} within {patience:.3g} s.") from None
            if recording and self._dialect.is_hollow(recording) and (self._waiting or self._running > 1):
                raise UpstreamError("The model's answer is empty.", code="upstream_empty")
            own = stack.pop_all()
            return OpenAnswer(candidate, live, chunks, recording, watches[0], attempt, self.trace, own)
        raise AssertionError  # an exit stack without callbacks that swallow errors swallows none

    def _lose(self, attempt: Attempt, watches: Sequence[CallTimer]) -> None:
        """It is given up before it has answered: where it had left already, it costs its prompt, and what a whole reply
        had in it by then."""
        for timer in watches:
            attempt.lost = tokens_lost(timer, self.terms.health.predict(timer.model), self._most)

    @property
    def _dialect(self) -> Dialect:
        return dialect_of(self.call.endpoint)

    @property
    def _most(self) -> int:
        """Tokens that the answer may have."""
        return output_of(self.call) or LONGEST_ANSWER


async def answer(
    candidates: Sequence[Candidate], call: Call, trace: Trace, terms: AttemptTerms, sent: Sent = as_served
) -> OpenAnswer:
    """Whoever answers: nothing of it has been given to the client yet. Raises SubsecondError."""
    trace.source = "upstream"
    if terms.hedges:
        terms.hedges.budget.earn()
    with trace.step(Step.UPSTREAM):
        return await Attempts(candidates, call, trace, terms, sent).opened()


async def _up_to_the_first_text(live: LiveAnswer, call: Call) -> tuple[list[Chunk], Recording | None]:
    """What has come by then, and the recording of what ended before: a whole reply, or a stream without any text. Some
    servers say the role at once and think, or fail, then: with that alone nobody has won, and nothing is promised."""
    await live.until_text()
    chunks = list(live.chunks)
    if call.form == "whole":
        return chunks, live.recording()
    tells = dialect_of(call.endpoint).tells
    told = any(tells(chunk.data) for chunk in chunks if not chunk.comment)
    while not told:
        chunk = await live.next()
        if chunk is None:
            return chunks, live.recording()
        chunks.append(chunk)
        told = not chunk.comment and tells(chunk.data)
    return chunks, None


def _may_hold_more(one: Candidate, full: Candidate) -> bool:
    """Whether it may take what was too long for the other: unless its window is known to be no larger."""
    return not one.window or not full.window or one.window > full.window


def _are_equivalent(one: Candidate, other: Candidate) -> bool:
    return bool(one.group) and one.group == other.group


def _awaited(call: Call) -> str:
    return "first token" if call.form == "stream" else "reply"


def _failed(attempt: Attempt, error: SubsecondError, seconds: float) -> None:
    """What the client got wrong is no failure of the model: it has no time then."""
    refused = not worth_another(error)
    attempt.outcome = f"{'refused: ' if refused else ''}{error.status} {type(error).__name__}"
    attempt.total = None if refused else seconds


def _judge(opened: OpenAnswer, dialect: Dialect) -> None:
    """What its health hears of it: an empty answer is a failure, though nobody else is left to give another one."""
    recording, timer = opened.recording, opened.timer
    if recording is None:
        timer.first_token()
    elif dialect.is_hollow(recording):
        timer.failed()
    elif recording.form == "whole":
        timer.replied(tokens_of(recording, 0))
    else:
        timer.first_token()


def _give_up(watches: list[CallTimer]) -> None:
    while watches:
        watches.pop().abandoned()


def _tell(timer: CallTimer, error: SubsecondError) -> None:
    if is_the_models(error):
        timer.failed(wished_rest(error))
    else:
        timer.abandoned()
