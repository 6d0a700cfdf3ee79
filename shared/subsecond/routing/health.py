"""How fast and how sound each model is at the moment, in all environments.

Histograms by slices of ten seconds; a slice counts half after a minute, and nothing after four. What is predicted are
quantiles of first tokens, and of whole replies apart from them, a failure among them as one that came after a minute.
Where there is little data, the prior counts as two calls.

    closed --> five of its last six calls slow or failed (a slow streak), three failures in a row, or a `retry-after`
           --> open
    open   --> when its time is over, ONE call at a time probes it (half-open): two good -> closed, a bad one -> open

A whole reply may take long because it is long: it is slow when it took more than four medians and spoke at less than a
quarter of the usual speed. One that is still out, and may be a long one, is late after twice what 95 in 100 take.

Decay alone would be too slow for that: after a busy minute, hundreds of good calls outvote the bad ones of now. A model
that nobody has called for a while is predicted no worse than its prior: so it is tried again, and judged anew.
Environments merge their figures after an answer's last byte, every few seconds: one write, one read.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Literal

from subsecond.model import Form
from subsecond.ports import HealthStore
from subsecond.routing.call_timer import CallTimer
from subsecond.routing.histories import (
    HALF_LIFE,
    SLICE,
    SLICES,
    HealthView,
    History,
    Prior,
    decode,
    encode,
    slice_of,
    view_of,
)
from subsecond.stats.histogram import bucket_of

# A first token is slow when it takes so many times the median, a whole reply that is out so many times what 95 in 100
# take; below so many milliseconds nobody minds. A second call leaves after so many medians at the latest.
SLOW = 4.0
OUT = 2.0
UNNOTICED = 100.0
LATEST_HEDGE = 8.0
# So many of the last ones slow: a slow streak. So many failed in a row: it is down.
WINDOW, BAD = 6, 5
FAILURES = 3
# So many good probes close the circuit: one call in thirty is fast enough by chance when a model is ten times slower.
GOOD_PROBES = 2
# Seconds that a circuit stays open, doubled up to the longest, each up to half as long again, so that environments do
# not probe at once. The longest, made so much longer, is still within a minute. A server's own `retry-after` may be as
# long as that.
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 30.0
LONGEST_RETRY_AFTER = 60.0
# After so many probes in vain this is how fast it is now.
MOST_PROBES = 8
# Seconds without a call after which a model may be better than its figures say; and until figures are made
# again where no merge has made them.
IDLE = 40.0
FRESH = 15.0

Reason = Literal["slow", "failing", "limited"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Times in seconds. error_rate: 0 to 1. circuit_open: to be called only where nothing else will do. Of whole calls
    the first token comes with the last one: the times are those to the reply, and the speed is infinite."""

    ttft_p50: float
    ttft_p95: float
    tokens_per_second: float
    error_rate: float
    circuit_open: bool = False

    def total(self, tokens: int) -> float:
        """Seconds that an answer of so many tokens takes, as the median goes."""
        return self.ttft_p50 + tokens / self.tokens_per_second


@dataclass(slots=True)
class _OpenCircuit:
    """limits: milliseconds past which a first token, or a whole reply, is slow. seen: when it was last known to be bad.
    Seconds else."""

    reason: Reason
    limits: Mapping[Form, float]
    since: float
    until: float
    last_bad: float
    pause: float = FIRST_PAUSE
    failed_probes: int = 0
    good: int = 0
    probe: CallTimer | None = None


@dataclass(slots=True)
class _Model:
    """What this environment alone knows. recent: when the last calls spoke or failed, and whether that was bad."""

    prior: Prior
    recent: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    in_flight: dict[Form, dict[CallTimer, None]] = field(default_factory=lambda: {"stream": {}, "whole": {}})
    failures: int = 0
    last_call: float = 0.0
    ignored_until: int = 0
    circuit: _OpenCircuit | None = None
    view: HealthView | None = None


class Health:
    """Used from one event loop. `clock`: epoch seconds, which environments share; `ticks`: monotonic seconds."""

    def __init__(
        self,
        store: HealthStore,
        priors: Mapping[str, Prior] | None = None,
        *,
        interval: float = 5.0,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.ticks = ticks
        self._store = store
        self._priors = priors or {}
        self._interval = interval
        self._clock = clock
        self._chance = chance
        self._models: dict[str, _Model] = {}
        # By slice and model: what all have merged, and what is ours alone yet.
        self._shared: dict[int, dict[str, History]] = {}
        self._own: dict[int, dict[str, History]] = {}
        self._merged = self._read = float("-inf")

    def predict(self, name: str, form: Form = "stream", tokens: int | None = None) -> Prediction:
        """tokens: the most that the answer may have; a whole reply is no later than those take, where first tokens are
        known, or nothing is."""
        now = self._clock()
        model = self._model(name)
        circuit_open = self._is_open(name, model, now)
        view = self._view(name, model, now)
        p50, p95 = view.times[form].p50, view.times[form].p95
        if circuit_open and model.circuit:
            limit = model.circuit.limits[form]
            p50, p95 = max(p50, limit), max(p95, 2 * limit)
        elif self._may_be_better(model, view, now):
            _, _, prior, _, late = model.prior.times(form)
            p50, p95 = min(p50, prior), min(p95, late)
        if form == "stream":
            return Prediction(p50 / 1_000, p95 / 1_000, view.speed, view.error_rate, circuit_open)
        streams = view.times["stream"]
        if tokens is not None and (streams.measured or not view.times["whole"].measured):
            spoken = tokens * 1_000 / max(view.speed, 1e-3)
            p50, p95 = min(p50, streams.p50 + spoken), min(p95, streams.p95 + spoken)
        return Prediction(p50 / 1_000, p95 / 1_000, inf, view.error_rate, circuit_open)

    def late(self, name: str, share: float, form: Form = "stream") -> float:
        """Seconds after which a first token is later than usual: that share of them had come by then. Never more than
        eight medians: where many calls stall or fail, the share would only be reached after those. Of whole replies:
        that share of those that came, because some are eight times as long as the median."""
        times = self._view(name, self._model(name), self._clock()).times[form]
        if form == "whole":
            return (times.came.quantile(share) or 0.0) / 1_000
        return min(times.known.quantile(share) or 0.0, LATEST_HEDGE * times.p50) / 1_000

    def seconds_for(self, name: str, tokens: int) -> float:
        """That it takes to say so much, at its usual speed."""
        return tokens / max(self._view(name, self._model(name), self._clock()).speed, 1e-3)

    def circuit_open(self, name: str) -> bool:
        """Whether it is not to be called. Not so for the one call that may try it when its time is over."""
        return self._is_open(name, self._model(name), self._clock())

    def begin(self, name: str, form: Form = "stream") -> CallTimer:
        """A call leaves now."""
        now = self._clock()
        model = self._model(name)
        timer = CallTimer(self, name, form, now, self.ticks())
        timer.is_probe_of_idle = not model.circuit and self._may_be_better(model, self._view(name, model, now), now)
        model.in_flight[form][timer] = None
        model.last_call = now
        if model.circuit and now >= model.circuit.until and model.circuit.probe is None:
            model.circuit.probe = timer
        return timer

    async def flush(self, *, force: bool = False) -> None:
        """Merge when the last merge is old enough, or at once. Raises what the store raises; nothing is lost then."""
        now = self._clock()
        if not self._own or not (force or not 0 <= now - self._merged < self._interval):
            return
        self._merged = now
        here = slice_of(now)
        taken, self._own = self._own, {}
        sums: dict[str, History] = {}
        for histories in taken.values():
            _add(sums, histories)
        try:
            found = await self._store.merge_and_read(here, encode(sums), int(max(here - SLICES, self._read - 1)))
        except BaseException:
            for at, histories in taken.items():
                _add(self._own.setdefault(at, {}), histories)
            raise
        read = {at: decode(figures) for at, figures in found.items()}
        news = self._added_by_others(read, sums)
        self._shared = {at: histories for at, histories in (self._shared | read).items() if at > here - SLICES}
        self._read = here
        for name, model in self._models.items():
            self._learn_from_others(name, model, news.get(name, History()), now)
            # Now, after a last byte, and not in the next request's time.
            model.view = self._make_view(name, model, now)

    # What a CallTimer reports.

    def on_first_token(self, timer: CallTimer, took: float, tokens: int = 0) -> None:
        """`took`: milliseconds to the first token, or to a whole reply of so many tokens."""
        now = self._clock()
        model = self._model(timer.model)
        history = self._history(timer.model, now)
        slow = bucket_of(took) > bucket_of(self._limit(timer.model, model, now, timer.form))
        if timer.form == "whole":
            view = self._view(timer.model, model, now)
            slow = slow and tokens * 1_000 * SLOW < view.speed * took
            history.whole(took, tokens, view.times["stream"].p50, late=slow)
        else:
            history.ttft.add(took)
        model.failures = 0
        if timer.is_probe_of_idle and took <= model.prior.times(timer.form)[-1]:
            model.ignored_until, model.view = slice_of(now) - 1, None
        self._count(timer, model, now, bad=slow)

    def on_finished(self, timer: CallTimer, speed: float) -> None:
        self._history(timer.model, self._clock()).speed.add(speed)

    def on_failed(self, timer: CallTimer, retry_after: float | None) -> None:
        now = self._clock()
        model = self._model(timer.model)
        self._history(timer.model, now).fail(timer.form)
        model.failures += 1
        self._count(timer, model, now, bad=True)
        circuit = model.circuit
        if retry_after is not None:
            circuit = circuit or self._open(timer.model, model, "limited", now)
            circuit.reason, circuit.until = "limited", max(circuit.until, now + min(retry_after, LONGEST_RETRY_AFTER))
        elif model.failures >= FAILURES and not circuit:
            self._open(timer.model, model, "failing", now)

    def on_abandoned(self, timer: CallTimer) -> None:
        model = self._model(timer.model)
        waited = timer.seconds * 1_000
        if (
            timer in model.in_flight[timer.form]
            and waited >= self._view(timer.model, model, self._clock()).times[timer.form].p95
        ):
            self.on_first_token(timer, waited)
        model.in_flight[timer.form].pop(timer, None)
        if model.circuit and model.circuit.probe is timer:
            model.circuit.probe = None

    # What is made of it.

    def _count(self, timer: CallTimer, model: _Model, now: float, *, bad: bool) -> None:
        model.in_flight[timer.form].pop(timer, None)
        model.last_call = now
        circuit = model.circuit
        if circuit is None:
            model.recent.append((now, bad))
            if self._is_slow_streak(timer.model, model, now):
                self._open(timer.model, model, "slow", now)
        elif not bad and timer.begun >= circuit.since:
            circuit.good += 1
            circuit.probe, circuit.until = None, min(circuit.until, now)
            if circuit.good >= GOOD_PROBES:
                self._close(model)
        elif circuit.probe is timer:
            self._reopen(model, circuit, now)

    def _is_slow_streak(self, name: str, model: _Model, now: float) -> bool:
        """Calls that wait for longer than a limit already count: their outcome may take a minute."""
        bad = [was for when, was in model.recent if now - when < HALF_LIFE]
        for form, in_flight in model.in_flight.items():
            limit = self._limit(name, model, now, form)
            if form == "whole":
                limit = max(limit, OUT * self._view(name, model, now).times[form].usual)
            for timer in islice(in_flight, WINDOW):
                if timer.seconds * 1_000 <= limit:
                    break
                bad.append(True)
        return sum(bad[-WINDOW:]) >= BAD

    def _open(self, name: str, model: _Model, reason: Reason, now: float) -> _OpenCircuit:
        limits: dict[Form, float] = {
            "stream": self._limit(name, model, now),
            "whole": self._limit(name, model, now, "whole"),
        }
        model.circuit = _OpenCircuit(reason, limits, now, now + self._jittered(FIRST_PAUSE), now)
        model.recent.clear()
        return model.circuit

    def _reopen(self, model: _Model, circuit: _OpenCircuit, now: float) -> None:
        circuit.probe = None
        circuit.good = 0
        circuit.failed_probes += 1
        if circuit.failed_probes >= MOST_PROBES and circuit.reason == "slow":
            model.circuit = None
            return
        circuit.pause = min(2 * circuit.pause, LONGEST_PAUSE)
        circuit.last_bad, circuit.until = now, max(circuit.until, now + self._jittered(circuit.pause))

    def _close(self, model: _Model) -> None:
        """It is well again: what it was like in the slow streak, and before, is over."""
        assert model.circuit
        model.ignored_until = slice_of(model.circuit.last_bad)
        model.circuit = model.view = None
        model.failures = 0

    def _added_by_others(
        self, read: Mapping[int, Mapping[str, History]], sent: Mapping[str, History]
    ) -> dict[str, History]:
        """What others have added since the last merge."""
        news: dict[str, History] = {}
        for at, histories in read.items():
            _add(news, histories)
            _add(news, self._shared.get(at, {}), -1)
        _add(news, sent, -1)
        return news

    def _learn_from_others(self, name: str, model: _Model, news: History, now: float) -> None:
        """What the others' figures say of it."""
        circuit = model.circuit
        limit = self._limit(name, model, now)
        if circuit is None:
            # The others' bad calls count as ours would, in proportion. Their good ones may be from before the streak.
            bad = round(min(WINDOW, news.calls) * news.slow(limit) / news.calls) if news.calls > 0 else 0
            model.recent.extend([(now, True)] * bad)
            if self._is_slow_streak(name, model, now):
                self._open(name, model, "slow", now)
        elif circuit.probe is None and not (circuit.reason == "limited" and now < circuit.until):
            others = History()
            for at, histories in self._shared.items():
                if at > slice_of(circuit.last_bad) and name in histories:
                    others.add(histories[name])
            if others.calls - others.slow(limit) >= GOOD_PROBES:
                self._close(model)
            elif others.calls and others.calls == others.slow(limit):
                self._reopen(model, circuit, now)

    def _is_open(self, name: str, model: _Model, now: float) -> bool:
        if not model.circuit and any(model.in_flight.values()) and self._is_slow_streak(name, model, now):
            self._open(name, model, "slow", now)
        return model.circuit is not None and (now < model.circuit.until or model.circuit.probe is not None)

    def _may_be_better(self, model: _Model, view: HealthView, now: float) -> bool:
        idle = now - max(model.last_call, (view.newest + 1) * SLICE)
        return model.circuit is not None or (idle >= IDLE and not any(model.in_flight.values()))

    def _limit(self, name: str, model: _Model, now: float, form: Form = "stream") -> float:
        if model.circuit:
            return model.circuit.limits[form]
        return max(SLOW * self._view(name, model, now).times[form].p50, UNNOTICED)

    def _jittered(self, seconds: float) -> float:
        return seconds * (1 + self._chance() / 2)

    def _model(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = _Model(self._priors.get(name, Prior()))
        return model

    def _history(self, name: str, now: float) -> History:
        here = slice_of(now)
        if here not in self._own:
            self._own = {at: histories for at, histories in self._own.items() if at > here - SLICES} | {here: {}}
        return self._own[here].setdefault(name, History())

    def _view(self, name: str, model: _Model, now: float) -> HealthView:
        view = model.view
        if view is None or not 0 <= now - view.at < FRESH:
            view = model.view = self._make_view(name, model, now)
        return view

    def _make_view(self, name: str, model: _Model, now: float) -> HealthView:
        by_slice = (*self._shared.items(), *self._own.items())
        found = [(at, histories[name]) for at, histories in by_slice if name in histories and at > model.ignored_until]
        return view_of(found, model.prior, now)


def _add(sums: dict[str, History], histories: Mapping[str, History], times: int = 1) -> None:
    for name, history in histories.items():
        sums.setdefault(name, History()).add(history, times)
