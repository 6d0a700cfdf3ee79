"""One call's stopwatch: what `attempts` reports of a model, and `health` counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subsecond.model import Form
    from subsecond.routing.health import Health


class CallTimer:
    """Made by `Health.begin`. A stream: one of `first_token`, `failed` and `abandoned` ends the wait for the first
    token; after `first_token`, `finished` or `failed` ends the answer. A whole call: `replied`, `failed` or `abandoned`
    ends it."""

    __slots__ = ("_first", "_health", "begun", "form", "is_probe_of_idle", "model", "started")

    def __init__(self, health: Health, model: str, form: Form, begun: float, started: float) -> None:
        self._health = health
        self.model = model
        self.form = form
        self.begun = begun
        self.started = started
        # Whether it was made to see if the model is better than its figures.
        self.is_probe_of_idle = False
        self._first = 0.0

    @property
    def seconds(self) -> float:
        return self._health.ticks() - self.started

    @property
    def speaking(self) -> float:
        """Seconds since the first token, or since the reply."""
        return self._health.ticks() - self._first

    def first_token(self) -> None:
        """The first token is there."""
        self._first = self._health.ticks()
        self._health.on_first_token(self, (self._first - self.started) * 1_000)

    def finished(self, tokens: int) -> None:
        """The streamed answer is complete; `tokens` long."""
        seconds = self.speaking
        if tokens > 1 and seconds > 0:
            self._health.on_finished(self, (tokens - 1) / seconds)

    def replied(self, tokens: int) -> None:
        """The whole reply is there; `tokens` long, which says whether it was slow or is long."""
        self._first = self._health.ticks()
        self._health.on_first_token(self, (self._first - self.started) * 1_000, tokens)

    def failed(self, retry_after: float | None = None) -> None:
        """It failed, or gave nothing in time. retry_after: seconds for which the server wants peace."""
        self._health.on_failed(self, retry_after)

    def abandoned(self) -> None:
        """Nobody waits for it any more: no fault of its own, unless that was late already."""
        self._health.on_abandoned(self)
