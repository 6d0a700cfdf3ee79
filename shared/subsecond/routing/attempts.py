"""One streamed answer out of several candidates, tried in order until one speaks.

Nothing is given to the client before a candidate's first text, so whatever fails before that can be tried elsewhere;
after it never, because two answers would be mixed in one stream. The deadline holds for all attempts together.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from time import monotonic, time
from typing import Any

from subsecond.errors import ContextLengthExceeded, DeadlineExceeded, SubsecondError, UpstreamTimeout
from subsecond.model import Call, Chunk, Done, Event, Head
from subsecond.ports import Upstream
from subsecond.routing.deadlines import check, remaining
from subsecond.routing.health import CallTimer, Health
from subsecond.routing.hedging import Hedges, race
from subsecond.stats.trace import Attempt, Step, Trace
from subsecond.streaming.transcript import Transcript
from subsecond.upstreams.admission import Admission

# Statuses below 500 that another model may not answer with: it was slow (408), too early (425) or busy (429).
ELSEWHERE = frozenset({408, 425, 429})
# An upstream's own words, in an error of any status, for what another model would say too.
FINAL_CODES = frozenset({"content_filter", "content_policy_violation", "invalid_request_error"})

# Seconds by which a timer may end too early.
ROUNDING = 0.001


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who can answer. name: under which its health is known. model: what its upstream calls it. group:
    candidates of one group give equivalent answers; "" is a group of its own."""

    name: str
    upstream: Upstream
    model: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all requests share. patience: seconds for a first token where another candidate is left. hedges: None for
    none. `ticks`: the clock of deadlines, monotonic seconds."""

    admission: Admission
    health: Health
    patience: float
    hedges: Hedges | None = None
    ticks: Callable[[], float] = monotonic


@dataclass(frozen=True, slots=True)
class Limit:
    """Until when a round's candidates may give their first token. hurried: the request's deadline made it shorter than
    the setting would."""

    until: float
    hurried: bool


Sent = Callable[[Call, Candidate], Awaitable[Call]]


async def as_served(call: Call, candidate: Candidate) -> Call:
    """The call under the name that the candidate's upstream knows."""
    return replace(call, model=candidate.model)


def worth_another(error: BaseException) -> bool:
    """Whether another model may do better. Not so where the request is at fault, or no time is left."""
    if isinstance(error, ContextLengthExceeded):
        return True
    if not isinstance(error, SubsecondError) or isinstance(error, DeadlineExceeded):
        return False
    said = error.body()["error"]
    if said.get("code") in FINAL_CODES or said.get("type") in FINAL_CODES:
        return False
    return error.status >= 500 or error.status in ELSEWHERE  # noqa: PLR2004


def seconds_of(retry_after: str | None) -> float | None:
    """`Retry-After` (RFC 9110, section 10.2.3): seconds or a date. None where there is none, or it is neither."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 -- 10 ms for what hardly any server sends

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time())
    except ValueError:
        return None


def prompt_tokens(call: Call) -> int:
    """Estimated: for calls that tell no usage."""
    from subsecond.optimiser.tokens import Tokens  # noqa: PLC0415 -- tables that hardly any request needs

    tokens, body = Tokens(), call.body
    counter = tokens.counter(call.model)
    messages = body.get("messages")
    if isinstance(messages, list):
        told = sum(tokens.message(counter, one) for one in messages if isinstance(one, dict))
        return told + tokens.frame(counter, body)
    return counter.count(str(body.get("prompt") or ""))


@dataclass(slots=True, eq=False)
class Opened:
    """A candidate that has begun to speak: its first chunks are here, the rest comes from `payloads`."""

    candidate: Candidate
    transcript: Transcript
    chunks: list[Chunk]
    payloads: AsyncGenerator[bytes]
    watch: CallTimer
    attempt: Attempt
    stack: AsyncExitStack

    async def aclose(self) -> None:
        """Give it up."""
        self.attempt.outcome = "cancelled"
        self.attempt.lost = len(self.chunks)
        await self.stack.aclose()

    async def events(self) -> AsyncGenerator[Event]:
        """Head, Chunks, Done. Raises UpstreamError when it breaks off. To be closed."""
        count = len(self.chunks)
        try:
            yield Head("upstream", self.candidate.name)
            for chunk in self.chunks:
                yield chunk
            async for payload in self.payloads:
                count += 1
                if more := self.transcript.add(payload):
                    yield more
        except SubsecondError as error:
            self.attempt.outcome = f"broke off: {type(error).__name__}"
            self.attempt.total = self.attempt.seconds + self.watch.speaking
            if isinstance(error, DeadlineExceeded):
                self.watch.abandoned()
            else:
                self.watch.failed()
            raise
        finally:
            await self.stack.aclose()
        self.attempt.total = self.attempt.seconds + self.watch.speaking
        self.watch.finished(_tokens(self.transcript.usage, count))
        if usage := self.transcript.usage_chunk():
            yield usage
        yield Done(self.transcript.answer())


@dataclass(slots=True)
class Asking:
    """One request's attempts. sent: what a candidate is sent, which may be made for it (its window, its prompt). kind:
    of the first attempt, for the trace."""

    candidates: Sequence[Candidate]
    call: Call
    trace: Trace
    terms: Terms
    sent: Sent = as_served
    kind: str = "first"
    _waiting: list[Candidate] = field(init=False, default_factory=list)

    async def opened(self) -> Opened:
        """The candidate that speaks first. Raises the last one's error, or DeadlineExceeded."""
        health = self.terms.health
        self.trace.prompt_tokens = partial(prompt_tokens, self.call)
        # Those at rest come last. They are not left out: if all rest, one of them is still the best that there is.
        self._waiting = sorted(self.candidates, key=lambda one: health.circuit_open(one.name))
        kind = self.kind
        while True:
            check(self.call.deadline, self.terms.ticks())
            try:
                return await self._round(self._waiting.pop(0), kind)
            except SubsecondError as error:
                if not self._waiting or not worth_another(error):
                    raise
            kind = "fallback"
            self.trace.counts["fallbacks"] += 1

    async def _round(self, candidate: Candidate, kind: str) -> Opened:
        """One candidate, and perhaps a hedge beside it."""
        hedges = self.terms.hedges
        alone = not any(_are_equivalent(candidate, other) for other in self._waiting)
        limit = self._limit()
        if alone or hedges is None or not hedges.may(self.call):
            return await self._open(candidate, kind, limit)
        delay = self.terms.health.late(candidate.name, hedges.after)
        return await race(
            self._open(candidate, kind, limit),
            delay,
            lambda: self._hedge(candidate, hedges, limit),
            lambda error: not worth_another(error),
        )

    def _hedge(self, candidate: Candidate, hedges: Hedges, limit: Limit) -> Coroutine[Any, Any, Opened] | None:
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

    def _limit(self) -> Limit:
        """For this round: what is left after it shall do for the next candidate, or be half of it at least."""
        now = self.terms.ticks()
        seconds = left = remaining(self.call.deadline, now)
        if self._waiting:
            seconds = max(left / 2, left - self.terms.health.predict(self._waiting[0].name).ttft_p95)
            return Limit(now + min(self.terms.patience, seconds), hurried=seconds < self.terms.patience)
        return Limit(now + seconds, hurried=True)

    async def _open(self, candidate: Candidate, kind: str, limit: Limit) -> Opened:
        """One attempt, up to its first text. Raises SubsecondError."""
        begun = self.terms.ticks()
        attempt = Attempt(candidate.name, kind)
        self.trace.attempts.append(attempt)
        watches: list[CallTimer] = []
        try:
            opened = await self._first_text(candidate, attempt, watches, limit)
        except SubsecondError as error:
            # What the client got wrong is no failure of the model.
            refused = "" if worth_another(error) else "refused: "
            attempt.outcome = f"{refused}{error.status} {type(error).__name__}"
            attempt.total = None if refused else self.terms.ticks() - begun
            for watch in watches:
                _tell(watch, error)
            raise
        except BaseException:
            attempt.outcome = "cancelled"
            _lose(attempt, watches)
            for watch in watches:
                watch.abandoned()
            raise
        finally:
            attempt.seconds = self.terms.ticks() - begun
        attempt.outcome = "answered"
        opened.watch.first_token()
        if kind == "hedge":
            self.trace.counts["hedges_won"] += 1
        return opened

    async def _first_text(
        self, candidate: Candidate, attempt: Attempt, watches: list[CallTimer], limit: Limit
    ) -> Opened:
        patience = limit.until - self.terms.ticks()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(None if patience == inf else max(0.0, patience)):
                    call = await self.sent(self.call, candidate)
                    partition = self.trace.partition or ""
                    place = self.terms.admission.place(candidate.name, partition, call.deadline, call.batch)
                    await stack.enter_async_context(place)
                    watches.append(self.terms.health.begin(candidate.name))
                    payloads = await stack.enter_async_context(aclosing(candidate.upstream.stream(call)))
                    transcript = Transcript(call.endpoint)
                    chunks = await _up_to_the_first_text(payloads, transcript)
            except TimeoutError:
                _lose(attempt, watches)
                # A time-out that the request's deadline made short says nothing of the model. Any other is its failure,
                # however short the setting is: else a model that hangs would never be left.
                if limit.hurried:
                    _give_up(watches)
                if remaining(self.call.deadline, self.terms.ticks()) < ROUNDING:
                    raise DeadlineExceeded("The time limit of this request is used up.") from None
                raise UpstreamTimeout(f"The model gave no first token within {patience:.3g} s.") from None
            return Opened(candidate, transcript, chunks, payloads, watches[0], attempt, stack.pop_all())
        raise AssertionError  # an exit stack without callbacks that swallow errors swallows none


async def answer(
    candidates: Sequence[Candidate], call: Call, trace: Trace, terms: Terms, sent: Sent = as_served
) -> AsyncGenerator[Event]:
    """Head once a candidate has begun to speak, then Chunks, then Done. Raises SubsecondError. To be closed."""
    trace.source = "upstream"
    if terms.hedges:
        terms.hedges.budget.earn()
    with trace.step(Step.UPSTREAM):
        opened = await Asking(candidates, call, trace, terms, sent).opened()
    async with aclosing(told(opened, trace)) as events:
        async for event in events:
            yield event


async def told(opened: Opened, trace: Trace) -> AsyncGenerator[Event]:
    """What the client gets of the one that was chosen, and what the trace says of it. To be closed."""
    trace.first_byte()
    trace.model = opened.candidate.name
    async with aclosing(opened.events()) as events:
        async for event in events:
            if isinstance(event, Done):
                trace.usage = opened.transcript.usage
            yield event


async def _up_to_the_first_text(payloads: AsyncGenerator[bytes], transcript: Transcript) -> list[Chunk]:
    """Some upstreams say the role at once and think then: with that alone nobody has won, and nothing is promised."""
    chunks = []
    payload: bytes | None = await anext(payloads, b"")  # a stream without an event is no answer: it is refused
    while payload is not None:
        if chunk := transcript.add(payload):
            chunks.append(chunk)
        if speaks(payload):
            break
        payload = await anext(payloads, None)
    return chunks


def speaks(payload: bytes) -> bool:
    """Whether a chunk has more than a role in it."""
    return any(_says(choice) for choice in json.loads(payload).get("choices") or ())


def _says(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or choice.get("message") or {}
    said = any(value for name, value in delta.items() if name != "role")
    return said or bool(choice.get("text") or choice.get("finish_reason"))


def _lose(attempt: Attempt, watches: Sequence[CallTimer]) -> None:
    """It is given up before it has spoken: where it had left already, it costs its prompt."""
    if watches:
        attempt.lost = 0


def _are_equivalent(one: Candidate, other: Candidate) -> bool:
    return bool(one.group) and one.group == other.group


def _give_up(watches: list[CallTimer]) -> None:
    while watches:
        watches.pop().abandoned()


def _tell(watch: CallTimer, error: SubsecondError) -> None:
    if worth_another(error):
        watch.failed(seconds_of(error.retry_after))
    else:
        watch.abandoned()


def _tokens(usage: dict[str, Any] | None, chunks: int) -> int:
    """Of the answer, as the upstream counts them; where it does not, a chunk is about one."""
    count = (usage or {}).get("completion_tokens")
    return count if isinstance(count, int) else chunks
