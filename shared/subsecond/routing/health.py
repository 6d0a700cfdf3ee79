"""How fast and how sound each model is at the moment, in all environments.

Histograms by slices of ten seconds; a slice counts half after a minute, and nothing after four. What is predicted are
quantiles of first tokens, and of whole replies apart from them, a failure among them as one that came after a minute.
Where there is little data, the prior counts as two calls.

    well -----> five of its last six calls slow or failed, three failures in a row, or a `retry-after` -----> resting
    resting --> when its time is over, ONE call at a time tries it (half-open): two good -> well, a bad one -> resting

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
from subsecond.routing.histories import (
    HALF_LIFE,
    SLICE,
    SLICES,
    Prior,
    Record,
    View,
    decode,
    encode,
    slice_of,
    view_of,
)
from subsecond.routing.watch import Watch
from subsecond.stats.histogram import bucket_of

# A first token is slow when it takes so many times the median, a whole reply that is out so many times what 95 in 100
# take; below so many milliseconds nobody minds. A second call leaves after so many medians at the latest.
SLOW = 4.0
OUT = 2.0
UNNOTICED = 100.0
LATEST = 8.0
# So many of the last ones slow: a spell. So many failed in a row: it is down.
LAST, BAD = 6, 5
FAILURES = 3
# So many good ones end a rest: one call in thirty is fast enough by chance when a model is ten times slower.
GOOD = 2
# Seconds of rest, doubled up to the longest, each up to half as long again, so that environments do not try at once.
# The longest, made so much longer, is still within a minute. A server's own `retry-after` may be as long as that.
FIRST_REST, LONGEST_REST = 10.0, 30.0
LONGEST_WISH = 60.0
# After so many trials in vain this is how it is now, and not a spell.
TRIALS = 8
# Seconds without a call after which a model may be better than its figures say; and until figures are made
# again where no merge has made them.
IDLE = 40.0
FRESH = 15.0

Reason = Literal["slow", "failing", "limited"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Times in seconds. error_rate: 0 to 1. resting: to be called only where nothing else will do. Of whole calls: the
    first token comes with the last one, so the times are those to the reply, and the speed is infinite."""

    ttft_p50: float
    ttft_p95: float
    tokens_per_second: float
    error_rate: float
    resting: bool = False

    def total(self, tokens: int) -> float:
        """Seconds that an answer of so many tokens takes, as the median goes."""
        return self.ttft_p50 + tokens / self.tokens_per_second


@dataclass(slots=True)
class _Rest:
    """limits: milliseconds past which a first token, or a whole reply, is slow. seen: when it was last known to be bad.
    Seconds else."""

    reason: Reason
    limits: Mapping[Form, float]
    since: float
    until: float
    seen: float
    pause: float = FIRST_REST
    trials: int = 0
    good: int = 0
    probe: Watch | None = None


@dataclass(slots=True)
class _Model:
    """What this environment alone knows. recent: when the last calls spoke or failed, and whether that was bad."""

    prior: Prior
    recent: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=LAST))
    flying: dict[Form, dict[Watch, None]] = field(default_factory=lambda: {"stream": {}, "whole": {}})
    failures: int = 0
    touched: float = 0.0
    forgotten: int = 0
    rest: _Rest | None = None
    view: View | None = None


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
        self._shared: dict[int, dict[str, Record]] = {}
        self._own: dict[int, dict[str, Record]] = {}
        self._merged = self._read = float("-inf")

    def predict(self, name: str, form: Form = "stream", tokens: int | None = None) -> Prediction:
        """tokens: the most that the answer may have; a whole reply is no later than those take, where first tokens are
        known, or nothing is."""
        now = self._clock()
        model = self._model(name)
        resting = self._is_resting(name, model, now)
        view = self._view(name, model, now)
        p50, p95 = view.times[form].p50, view.times[form].p95
        if resting and model.rest:
            limit = model.rest.limits[form]
            p50, p95 = max(p50, limit), max(p95, 2 * limit)
        elif self._may_be_better(model, view, now):
            _, _, prior, _, late = model.prior.times(form)
            p50, p95 = min(p50, prior), min(p95, late)
        if form == "stream":
            return Prediction(p50 / 1_000, p95 / 1_000, view.speed, view.error_rate, resting)
        streams = view.times["stream"]
        if tokens is not None and (streams.measured or not view.times["whole"].measured):
            spoken = tokens * 1_000 / max(view.speed, 1e-3)
            p50, p95 = min(p50, streams.p50 + spoken), min(p95, streams.p95 + spoken)
        return Prediction(p50 / 1_000, p95 / 1_000, inf, view.error_rate, resting)

    def late(self, name: str, share: float, form: Form = "stream") -> float:
        """Seconds after which a first token is later than usual: that share of them had come by then. Never more than
        eight medians: where many calls stall or fail, the share would only be reached after those. Of whole replies:
        that share of those that came, because some are eight times as long as the median."""
        times = self._view(name, self._model(name), self._clock()).times[form]
        if form == "whole":
            return (times.came.quantile(share) or 0.0) / 1_000
        return min(times.known.quantile(share) or 0.0, LATEST * times.p50) / 1_000

    def seconds_for(self, name: str, tokens: int) -> float:
        """That it takes to say so much, at its usual speed."""
        return tokens / max(self._view(name, self._model(name), self._clock()).speed, 1e-3)

    def resting(self, name: str) -> bool:
        """Whether it shall be left in peace. Not so for the one call that may try it when its time is over."""
        return self._is_resting(name, self._model(name), self._clock())

    def begin(self, name: str, form: Form = "stream") -> Watch:
        """A call leaves now."""
        now = self._clock()
        model = self._model(name)
        watch = Watch(self, name, form, now, self.ticks())
        watch.trial = not model.rest and self._may_be_better(model, self._view(name, model, now), now)
        model.flying[form][watch] = None
        model.touched = now
        if model.rest and now >= model.rest.until and model.rest.probe is None:
            model.rest.probe = watch
        return watch

    async def flush(self, *, force: bool = False) -> None:
        """Merge when the last merge is old enough, or at once. Raises what the store raises; nothing is lost then."""
        now = self._clock()
        if not self._own or not (force or not 0 <= now - self._merged < self._interval):
            return
        self._merged = now
        here = slice_of(now)
        taken, self._own = self._own, {}
        sums: dict[str, Record] = {}
        for records in taken.values():
            _add(sums, records)
        try:
            found = await self._store.merge_and_read(here, encode(sums), int(max(here - SLICES, self._read - 1)))
        except BaseException:
            for at, records in taken.items():
                _add(self._own.setdefault(at, {}), records)
            raise
        read = {at: decode(figures) for at, figures in found.items()}
        news = self._news(read, sums)
        self._shared = {at: records for at, records in (self._shared | read).items() if at > here - SLICES}
        self._read = here
        for name, model in self._models.items():
            self._hear(name, model, news.get(name, Record()), now)
            # Now, after a last byte, and not in the next request's time.
            model.view = self._look(name, model, now)

    # What a Watch reports.

    def spoke(self, watch: Watch, took: float, tokens: int = 0) -> None:
        """`took`: milliseconds to the first token, or to a whole reply of so many tokens."""
        now = self._clock()
        model = self._model(watch.model)
        record = self._record(watch.model, now)
        slow = bucket_of(took) > bucket_of(self._limit(watch.model, model, now, watch.form))
        if watch.form == "whole":
            view = self._view(watch.model, model, now)
            slow = slow and tokens * 1_000 * SLOW < view.speed * took
            record.whole(took, tokens, view.times["stream"].p50, late=slow)
        else:
            record.ttft.add(took)
        model.failures = 0
        if watch.trial and took <= model.prior.times(watch.form)[-1]:
            model.forgotten, model.view = slice_of(now) - 1, None
        self._judge(watch, model, now, bad=slow)

    def spoken(self, watch: Watch, speed: float) -> None:
        self._record(watch.model, self._clock()).speed.add(speed)

    def broke(self, watch: Watch, retry_after: float | None) -> None:
        now = self._clock()
        model = self._model(watch.model)
        self._record(watch.model, now).fail(watch.form)
        model.failures += 1
        self._judge(watch, model, now, bad=True)
        rest = model.rest
        if retry_after is not None:
            rest = rest or self._let_rest(watch.model, model, "limited", now)
            rest.reason, rest.until = "limited", max(rest.until, now + min(retry_after, LONGEST_WISH))
        elif model.failures >= FAILURES and not rest:
            self._let_rest(watch.model, model, "failing", now)

    def left(self, watch: Watch) -> None:
        model = self._model(watch.model)
        waited = watch.seconds * 1_000
        if (
            watch in model.flying[watch.form]
            and waited >= self._view(watch.model, model, self._clock()).times[watch.form].p95
        ):
            self.spoke(watch, waited)
        model.flying[watch.form].pop(watch, None)
        if model.rest and model.rest.probe is watch:
            model.rest.probe = None

    # What is made of it.

    def _judge(self, watch: Watch, model: _Model, now: float, *, bad: bool) -> None:
        model.flying[watch.form].pop(watch, None)
        model.touched = now
        rest = model.rest
        if rest is None:
            model.recent.append((now, bad))
            if self._is_spell(watch.model, model, now):
                self._let_rest(watch.model, model, "slow", now)
        elif not bad and watch.begun >= rest.since:
            rest.good += 1
            rest.probe, rest.until = None, min(rest.until, now)
            if rest.good >= GOOD:
                self._recover(model)
        elif rest.probe is watch:
            self._renew(model, rest, now)

    def _is_spell(self, name: str, model: _Model, now: float) -> bool:
        """Calls that wait for longer than a limit already count: their outcome may take a minute."""
        bad = [was for when, was in model.recent if now - when < HALF_LIFE]
        for form, flying in model.flying.items():
            limit = self._limit(name, model, now, form)
            if form == "whole":
                limit = max(limit, OUT * self._view(name, model, now).times[form].usual)
            for watch in islice(flying, LAST):
                if watch.seconds * 1_000 <= limit:
                    break
                bad.append(True)
        return sum(bad[-LAST:]) >= BAD

    def _let_rest(self, name: str, model: _Model, reason: Reason, now: float) -> _Rest:
        limits: dict[Form, float] = {
            "stream": self._limit(name, model, now),
            "whole": self._limit(name, model, now, "whole"),
        }
        model.rest = _Rest(reason, limits, now, now + self._rest(FIRST_REST), now)
        model.recent.clear()
        return model.rest

    def _renew(self, model: _Model, rest: _Rest, now: float) -> None:
        rest.probe = None
        rest.good = 0
        rest.trials += 1
        if rest.trials >= TRIALS and rest.reason == "slow":
            model.rest = None
            return
        rest.pause = min(2 * rest.pause, LONGEST_REST)
        rest.seen, rest.until = now, max(rest.until, now + self._rest(rest.pause))

    def _recover(self, model: _Model) -> None:
        """It is well again: what it was like in the spell, and before, is over."""
        assert model.rest
        model.forgotten = slice_of(model.rest.seen)
        model.rest = model.view = None
        model.failures = 0

    def _news(self, read: Mapping[int, Mapping[str, Record]], sent: Mapping[str, Record]) -> dict[str, Record]:
        """What others have added since the last merge."""
        news: dict[str, Record] = {}
        for at, records in read.items():
            _add(news, records)
            _add(news, self._shared.get(at, {}), -1)
        _add(news, sent, -1)
        return news

    def _hear(self, name: str, model: _Model, news: Record, now: float) -> None:
        """What the others' figures say of it."""
        rest = model.rest
        limit = self._limit(name, model, now)
        if rest is None:
            # The others' bad calls count as ours would, in proportion. Their good ones may be from before the spell.
            bad = round(min(LAST, news.calls) * news.slow(limit) / news.calls) if news.calls > 0 else 0
            model.recent.extend([(now, True)] * bad)
            if self._is_spell(name, model, now):
                self._let_rest(name, model, "slow", now)
        elif rest.probe is None and not (rest.reason == "limited" and now < rest.until):
            heard = Record()
            for at, records in self._shared.items():
                if at > slice_of(rest.seen) and name in records:
                    heard.add(records[name])
            if heard.calls - heard.slow(limit) >= GOOD:
                self._recover(model)
            elif heard.calls and heard.calls == heard.slow(limit):
                self._renew(model, rest, now)

    def _is_resting(self, name: str, model: _Model, now: float) -> bool:
        if not model.rest and any(model.flying.values()) and self._is_spell(name, model, now):
            self._let_rest(name, model, "slow", now)
        return model.rest is not None and (now < model.rest.until or model.rest.probe is not None)

    def _may_be_better(self, model: _Model, view: View, now: float) -> bool:
        idle = now - max(model.touched, (view.newest + 1) * SLICE)
        return model.rest is not None or (idle >= IDLE and not any(model.flying.values()))

    def _limit(self, name: str, model: _Model, now: float, form: Form = "stream") -> float:
        if model.rest:
            return model.rest.limits[form]
        return max(SLOW * self._view(name, model, now).times[form].p50, UNNOTICED)

    def _rest(self, seconds: float) -> float:
        return seconds * (1 + self._chance() / 2)

    def _model(self, name: str) -> _Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = _Model(self._priors.get(name, Prior()))
        return model

    def _record(self, name: str, now: float) -> Record:
        here = slice_of(now)
        if here not in self._own:
            self._own = {at: records for at, records in self._own.items() if at > here - SLICES} | {here: {}}
        return self._own[here].setdefault(name, Record())

    def _view(self, name: str, model: _Model, now: float) -> View:
        view = model.view
        if view is None or not 0 <= now - view.at < FRESH:
            view = model.view = self._look(name, model, now)
        return view

    def _look(self, name: str, model: _Model, now: float) -> View:
        by_slice = (*self._shared.items(), *self._own.items())
        found = [(at, records[name]) for at, records in by_slice if name in records and at > model.forgotten]
        return view_of(found, model.prior, now)


def _add(sums: dict[str, Record], records: Mapping[str, Record], times: int = 1) -> None:
    for name, record in records.items():
        sums.setdefault(name, Record()).add(record, times)
