"""Makes of a call the call that is sent, and a report. Pure: the caller's body is never changed, nothing is awaited.

`lossless` and `dedupe` edit system and developer messages alone, each by itself and by what stands before it. So a
message is sent the same way in every call of a conversation, and the provider's prefix cache holds. Messages up to the
caller's last cache marker, users' words, answers, tools and their results stay byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from subsecond.errors import ContextLengthExceeded
from subsecond.model import Call
from subsecond.optimiser.dedupe import Dedupe, may_hold_repeats
from subsecond.optimiser.fit import Fit
from subsecond.optimiser.lossless import without_idle_blanks
from subsecond.optimiser.markers import prefix_hash, with_markers
from subsecond.optimiser.messages import (
    INSTRUCTING,
    Message,
    is_formatted,
    messages_of,
    pinned_messages,
    query,
    texts,
    with_texts,
)
from subsecond.optimiser.passages import without_context
from subsecond.optimiser.plan import Level, OptimiserPlan, plan_for
from subsecond.optimiser.report import OptimiserReport, RuleSavings
from subsecond.optimiser.select import select_passages
from subsecond.optimiser.tokenizers import TokenCounter
from subsecond.optimiser.tokens import Correction, Tokens, uncounted, upper_bound

if TYPE_CHECKING:
    from subsecond.config import Settings

# How far an estimate may be off: such a call is fitted with this to spare, and refused only when it is too long by
# more than this.
MARGIN = 0.05


class Optimiser:
    """One environment's settings, token counters, and corrections of their errors. `stages.optimise` calls it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens = Tokens(settings.tokenizer_files)
        self._correction = Correction()

    def run(self, call: Call, asked: str = "", partition: str = "", window: int = 0) -> tuple[Call, OptimiserReport]:
        """The call to send. asked: the request's header. Raises ContextLengthExceeded, InvalidRequest (`asked`)."""
        plan = plan_for(self._settings, call.model, asked, partition, window)
        return optimise(call, plan, self._tokens, self._correction.factor(call.model))

    def learn(self, report: OptimiserReport, model: str, usage: Mapping[str, Any] | None) -> None:
        """Learn from what the model's server counted."""
        if report.after is not None and not report.uncounted and "estimate" in report.counter:
            self._correction.learn(model, round(report.after / report.factor), usage)


def optimise(call: Call, plan: OptimiserPlan, tokens: Tokens, factor: float = 1.0) -> tuple[Call, OptimiserReport]:
    """The call to send, the same object where nothing changed. `factor`: what a real count is to an estimate.

    Raises ContextLengthExceeded when it cannot be made to fit the plan's window.
    """
    work = _Optimisation(call, plan, tokens, factor)
    if plan.level is not Level.OFF:
        work.edit()
        work.fit()
        work.remove_idle_blanks()
    return work.done()


@dataclass(frozen=True, slots=True)
class _Size:
    """A call's tokens, those beside its messages, and how many the window has for them."""

    total: int
    frame: int
    room: int


class _Optimisation:
    """One call on its way through the levels."""

    def __init__(self, call: Call, plan: OptimiserPlan, tokens: Tokens, factor: float) -> None:
        self._call = call
        self._plan = plan
        self._tokens = tokens
        self._original = self._messages = messages_of(call.body) if call.endpoint == "chat" else []
        self._pinned = pinned_messages(call.body, self._messages)
        self._rules: list[RuleSavings] = []
        self._counts: tuple[int, int] | None = None
        self._token_counter: TokenCounter | None = None
        self._factor = factor
        self._skipped = ""

    def edit(self) -> None:
        """Apply all levels but `fit`, in their order."""
        if is_formatted(self._call.body):
            self._skipped = "response_format"
            return
        self._instructions("lossless", lambda text: (without_idle_blanks(text), 1))
        if self._plan.level >= Level.DEDUPE:
            self._dedupe()
        if self._plan.level >= Level.SELECT and self._plan.budget:
            self._select()

    def fit(self) -> None:
        if self._plan.level < Level.FIT or not self._plan.window:
            return
        room = self._plan.window - self._reserved()
        bound = upper_bound(self._call.body, self._messages) if self._messages else None
        if bound is not None and bound * max(1.0, self._factor) <= room:
            return
        size = self._size(room)
        total = size.total
        if total > room and self._messages:
            self._shrink(size)
            total = self._total(size.frame)
        self._counts = (size.total, total)
        if total * (1 - self._margin) > room:
            raise ContextLengthExceeded(total, room, self._plan.window, "messages" if self._messages else "prompt")

    def remove_idle_blanks(self) -> None:
        """Once more, because what was cut out may have brought empty lines together."""
        if self._rules and not self._skipped:
            self._instructions("lossless", lambda text: (without_idle_blanks(text), 1))

    def done(self) -> tuple[Call, OptimiserReport]:
        fields: dict[str, Any] = {"messages": self._messages} if self._messages is not self._original else {}
        markers: tuple[str, ...] = ()
        if self._messages:
            changed, markers = with_markers(self._call.body, self._messages, self._plan.markers, self._plan.partition)
            fields |= changed
        body = {**self._call.body, **fields}
        report = OptimiserReport(
            level=self._plan.level.name.lower(),
            rules=tuple(self._rules),
            before=self._counts and self._counts[0],
            after=self._counts and self._counts[1],
            counter=self._token_counter.name if self._token_counter else "",
            factor=self._factor,
            prefixes=lambda: (_prefix(self._call.body), _prefix(body)) if fields else ("", ""),
            pinned=self._pinned,
            markers=markers,
            uncounted=uncounted(self._messages) if self._counts else (),
            skipped=self._skipped,
        )
        return (replace(self._call, body=body) if fields else self._call), report

    def _instructions(self, name: str, edit: Callable[[str], tuple[str, int]]) -> None:
        self._edit(name, INSTRUCTING, lambda text, _: edit(text))

    def _dedupe(self) -> None:
        if may_hold_repeats(text for one in self._messages if one.get("role") in INSTRUCTING for text in texts(one)):
            self._instructions("dedupe", Dedupe())

    def _select(self) -> None:
        """A user's context is ranked by the same message's question, so that the choice stands in later turns."""
        question = without_context(query(self._messages))

        def choose(text: str, role: str) -> tuple[str, int]:
            own = None if role == "user" else question
            return select_passages(text, own, self._plan.budget, self._text)

        self._edit("select", INSTRUCTING | {"user"}, choose)

    def _edit(self, name: str, roles: frozenset[str], edit: Callable[[str, str], tuple[str, int]]) -> None:
        edits = chars = 0
        messages = list(self._messages)
        for at in range(self._pinned, len(messages)):
            role = messages[at].get("role")
            if role not in roles:
                continue

            def change(text: str, role: str = str(role)) -> str:
                nonlocal edits, chars
                new, count = edit(text, role)
                if len(new) >= len(text) or not new.strip():
                    return text
                edits += count
                chars += len(text) - len(new)
                return new

            messages[at] = with_texts(messages[at], change)
        if edits:
            self._messages = messages
            self._rules.append(RuleSavings(name, edits, chars))

    def _reserved(self) -> int:
        for field in ("max_completion_tokens", "max_tokens"):
            value = self._call.body.get(field)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
        # A default must not take most of a small window.
        return min(self._plan.reserve, self._plan.window // 4)

    def _size(self, room: int) -> _Size:
        counter = self._counter
        frame = round(self._factor * self._tokens.frame(counter, self._call.body))
        return _Size(self._total(frame), frame, room)

    def _shrink(self, size: _Size) -> None:
        budget = int((size.room - size.frame) / (1 + self._margin))
        chars = _chars(self._messages)
        found = Fit(self._messages, self._pinned, self._text, self._message).fit_to(max(0, budget))
        edits = found.passages + found.turns + found.paragraphs
        if not edits:
            return
        self._messages = found.messages
        self._rules.append(
            RuleSavings("fit", edits, chars - _chars(found.messages), size.total - self._total(size.frame))
        )

    def _total(self, frame: int) -> int:
        if self._messages:
            return frame + sum(map(self._message, self._messages))
        prompt = self._call.body.get("prompt")
        if isinstance(prompt, str):
            return frame + self._text(prompt)
        return frame + (len(prompt) if isinstance(prompt, list) else 0)

    def _text(self, text: str) -> int:
        return round(self._factor * self._tokens.text(self._counter, text))

    def _message(self, message: Message) -> int:
        return round(self._factor * self._tokens.message(self._counter, message))

    @property
    def _margin(self) -> float:
        return 0.0 if self._counter.exact else MARGIN

    @property
    def _counter(self) -> TokenCounter:
        if self._token_counter is None:
            self._token_counter = self._tokens.counter(self._call.model)
            if self._token_counter.exact:
                self._factor = 1.0
        return self._token_counter


def _prefix(body: Mapping[str, Any]) -> str:
    return prefix_hash(body, messages_of(body))


def _chars(messages: Sequence[Message]) -> int:
    return sum(len(text) for message in messages for text in texts(message))
