"""One request's trace: what each step took, where the answer came from, how it ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from os import urandom
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from subsecond.model import Entry
    from subsecond.optimiser.report import OptimiserReport
    from subsecond.semantic.verification.samples import Sample


class Step(StrEnum):
    """What a request passes, in order; the pipeline's picture has all but PARSE. Statistics, deadlines and the page
    know steps by their members alone."""

    AUTHENTICATE = "authenticate"
    PARSE = "parse"
    PREPARE = "prepare"
    EXACT = "exact"
    FLIGHT = "flight"
    EMBED = "embed"
    SEMANTIC = "semantic"
    ROUTE = "route"
    OPTIMISE = "optimise"
    UPSTREAM = "upstream"
    STORE = "store"
    RECORD = "record"


@dataclass(slots=True)
class Attempt:
    """One call of a model. kind: `first`, `fallback`, `hedge`, `fast`, `strong`, `judge`. seconds: to its first text,
    or its end. total: seconds to the end of its answer, None where none ended."""

    model: str
    kind: str
    outcome: str = ""
    seconds: float = 0.0
    total: float | None = None
    # Chunks that had come when it was given up, though it had left: a chunk is about a token. None where it was not.
    lost: int | None = None

    def public(self) -> dict[str, Any]:
        return {"model": self.model, "kind": self.kind, "outcome": self.outcome, "ms": round(self.seconds * 1000, 3)}


@dataclass(slots=True)
class Trace:
    """Filled in by the pipeline as it goes. Times are seconds on the performance counter, steps in their order."""

    request_id: str = field(default_factory=lambda: "req_" + urandom(16).hex())
    started: float = field(default_factory=perf_counter)
    partition: str | None = None
    # The API key's name, never the key.
    key: str | None = None
    model: str | None = None
    source: str | None = None
    cacheable: bool = False
    status: int | None = None
    error: str | None = None
    steps: dict[Step, float] = field(default_factory=dict)
    first: float | None = None
    total: float | None = None
    usage: Mapping[str, Any] | None = None
    # Of an answer put together from several (embeddings): the tokens of what was there already.
    saved: Mapping[str, Any] | None = None
    # Of an answer that was joined: its usage was spent for this request, because whoever had asked first has left.
    paid: bool = False
    # Tokens of the prompt, for calls of which no usage is known; counted when asked for.
    prompt_tokens: Callable[[], int] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    replaced_expiry: float | None = None
    neighbour: str | None = None
    similarity: float | None = None
    # The semantic stage's candidates, each with the policy's verdict and its reasons.
    verdicts: list[dict[str, object]] = field(default_factory=list)
    # The entry that would have answered where nothing is served in these days, and the hit as it waits for a check.
    shadow: Entry | None = None
    sample: Sample | None = None
    # Whether it was not served because the owner's bound could not be kept.
    retreated: bool = False
    stored_expiry: float | None = None
    # The calls of models in their order, the optional stages that the deadline left no time for, and what became of
    # asking a fast model first.
    attempts: list[Attempt] = field(default_factory=list)
    skipped: list[Step] = field(default_factory=list)
    speculation: dict[str, object] | None = None
    optimise: OptimiserReport | None = None
    # Which model was chosen and why.
    route: dict[str, Any] | None = None
    # Of the answer: the entry that it came from, and whose it was when it was stored, by the upstream's name and by the
    # one under which a miss is counted; what storing it takes (bytes).
    entry: str | None = None
    served: str | None = None
    counted: str | None = None
    stored_bytes: int = 0
    # `chat`, `text` or `embeddings`.
    operation: str | None = None

    def step(self, step: Step) -> StepTimer:
        """`with trace.step(Step.EXACT): ...` adds the time spent inside to the step's duration."""
        return StepTimer(self, step)

    def first_byte(self) -> None:
        """The first event leaves now: TTFT as the pipeline can see it."""
        if self.first is None:
            self.first = perf_counter() - self.started

    def fail(self, error: BaseException) -> None:
        """The error's type and status; never its message, which may quote the client."""
        self.error = type(error).__name__
        self.status = getattr(error, "status", None)

    def finish(self) -> None:
        self.total = perf_counter() - self.started

    def server_timing(self) -> str:
        """The `Server-Timing` header's value (W3C): durations in milliseconds."""
        took = (f"{step};dur={seconds * 1000:.2f}{self._described(step)}" for step, seconds in self.steps.items())
        return ", ".join((*took, *(f'{step};desc="skipped"' for step in self.skipped)))

    def _described(self, step: Step) -> str:
        if step is Step.OPTIMISE and self.optimise and (described := self.optimise.description()):
            return f';desc="{described}"'
        return ""

    def public(self) -> dict[str, Any]:
        """The trace as a client that asked for it gets it (`x-subsecond-trace: 1`); times in milliseconds."""
        return {
            "request_id": self.request_id,
            "source": self.source,
            "neighbour": self.neighbour,
            "similarity": self.similarity and round(self.similarity, 4),
            "judged": self.verdicts,
            "model": self.model,
            "route": self.route,
            "optimise": self.optimise and self.optimise.public(self.usage),
            "steps_ms": {step: round(seconds * 1000, 3) for step, seconds in self.steps.items()},
            "first_ms": None if self.first is None else round(self.first * 1000, 3),
            "elapsed_ms": round((perf_counter() - self.started) * 1000, 3),
            "counts": dict(self.counts),
            **self._routed(),
        }

    def _routed(self) -> dict[str, Any]:
        """What only routed requests have."""
        found = {
            "attempts": [attempt.public() for attempt in self.attempts],
            "skipped": self.skipped,
            "speculation": self.speculation,
        }
        return {name: value for name, value in found.items() if value}


class StepTimer:
    """The context manager behind `Trace.step`; a class, because a generator-based one costs three times as much."""

    __slots__ = ("_begun", "_step", "_trace")

    def __init__(self, trace: Trace, step: Step) -> None:
        self._trace = trace
        self._step = step

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        steps = self._trace.steps
        steps[self._step] = steps.get(self._step, 0.0) + perf_counter() - self._begun
