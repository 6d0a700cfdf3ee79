"""Whether an answer is its own question's, its own tenant's, and not one that was deleted or reported as wrong."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass

from tests.soak.mixed.questions import Question
from tests.soak.mixed.spoken import Said
from tests.soak.mixed.wire import Answer

# The simulator's: the call's number stands at the end, and grows.
_ID = re.compile(r"(?:chatcmpl-|msg_)[0-9a-f]{16}([0-9]{8,})")


@dataclass(frozen=True, slots=True)
class Floor:
    """What may be served to a question. number: of the last upstream call that may not. deleted: when the last deletion
    of the whole namespace was asked for; at: when the question is sent. Both by the judge's own counting."""

    number: int
    deleted: int
    at: int


class Judge:
    """`wrong` has a line for each answer that is not right; a soak ends with none."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        # By the upstream call that made an answer: for whom it was made.
        self._owners: dict[int, str] = {}
        # By tenant and tag, empty for all of a tenant's: no answer of an earlier call may be served any more.
        self._floors: dict[tuple[str, str], int] = defaultdict(int)
        self._deleted: dict[str, int] = defaultdict(int)
        # By tenant, question and upstream call: since when that answer is known to be wrong for it.
        self._reported: dict[tuple[str, str, int], int] = {}
        # By tenant and text, where an answer names no call: how many ask for it now, and when it was last answered.
        self._asking: Counter[tuple[str, str]] = Counter()
        self._answered: dict[tuple[str, str], int] = {}
        self._now = itertools.count()

    def now(self) -> int:
        """Each time a greater number."""
        return next(self._now)

    def floor(self, tenant: str, question: Question) -> Floor:
        """To be taken when the question is sent: what is deleted from then on may still be served."""
        number = max(self._floors[tenant, ""], self._floors[tenant, question.tag])
        return Floor(number, self._deleted[tenant], self.now())

    def deleted(self, tenant: str, tag: str, number: int, asked: int) -> None:
        """The gateway has said so. number: of an upstream call that came before the deletion was asked for, which was
        when `now` said `asked`."""
        self._floors[tenant, tag] = max(self._floors[tenant, tag], number)
        if not tag:
            self._deleted[tenant] = max(self._deleted[tenant], asked)

    def reported(self, tenant: str, question: Question, number: int) -> None:
        """The gateway has said that it knows this call's answer to be wrong for the question."""
        self._reported[tenant, question.text, number] = self.now()

    def taken_back(self, tenant: str, question: Question, number: int) -> None:
        """To be told before the gateway is."""
        self._reported.pop((tenant, question.text, number), None)

    def asks(self, tenant: str, texts: list[str]) -> None:
        """Of texts whose answers name no call; `heard` ends it."""
        self._asking.update((tenant, text) for text in texts)

    def heard(self, tenant: str, texts: list[str]) -> None:
        for text in texts:
            self._asking[tenant, text] -= 1
            self._answered[tenant, text] = self.now()

    def check_known(self, tenant: str, text: str, floor: Floor, answer: Answer) -> None:
        """Of a text that was answered from memory, before it is `heard`: somebody of the tenant's has asked for it
        since all was deleted, or asks for it now."""
        alone = self._asking[tenant, text] <= 1
        if alone and self._answered.get((tenant, text), -1) < floor.deleted:
            self.say("an answer from memory that the tenant has not asked for", text, answer)

    def check(self, tenant: str, question: Question, answer: Answer, floor: Floor) -> None:
        """A whole answer, or the part of one that came."""
        if answer.status != 200:
            self.check_error(question.text, answer)
            return
        try:
            text, names, complete = _read(question, answer)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.say(f"{error!r} in the answer", question.text, answer)
            return
        rights = [question.right()]
        told = answer.headers.get("cache-status", "")
        if question.near and ("hit" in told or "collapsed" in told):
            rights += question.right_too()
        if not any(text == right if complete else right.startswith(text) for right in rights):
            self.say(f"the text {text!r} in place of {rights}", question.text, answer)
        numbers = numbers_in(names)
        if len(names) > 1 or (complete and not numbers):
            self.say(f"not one call in one answer: {names}", question.text, answer)
        for number in numbers:
            self._check_call(tenant, question, answer, number, floor)

    def _check_call(self, tenant: str, question: Question, answer: Answer, number: int, floor: Floor) -> None:
        if (owner := self._owners.setdefault(number, tenant)) != tenant:
            self.say(f"call {number} was made for {owner}, and serves {tenant}", question.text, answer)
        if number <= floor.number:
            self.say(f"call {number} was deleted up to {floor}", question.text, answer)
        if self._reported.get((tenant, question.text, number), floor.at) < floor.at:
            self.say(f"call {number} was reported as wrong", question.text, answer)

    def check_error(self, text: str, answer: Answer) -> None:
        """OpenAI's error object, or Anthropic's, with words."""
        try:
            right = bool(json.loads(answer.body)["error"]["message"])
        except (ValueError, LookupError, TypeError):
            right = False
        if not right:
            self.say("an error without words", text, answer)

    def say(self, what: str, text: str, answer: Answer) -> None:
        """One more that is wrong."""
        self.wrong.append(f"{what}; {text[:80]!r} {answer.status} {answer.headers} {answer.body[:600]!r}")


def _read(question: Question, answer: Answer) -> Said:
    """Raises what broken payloads raise."""
    if not answer.streamed:
        return question.spoken.whole(json.loads(answer.body))
    return question.spoken.events(answer.events() if answer.whole else _whole_events(answer))


def _whole_events(answer: Answer) -> list[object]:
    """Those whose end came, where the client has left in the midst of one."""
    answer.parts = [answer.body.rpartition(b"\n\n")[0]]
    return answer.events()


def numbers_in(names: set[str]) -> list[int]:
    """Of the upstream calls that have these names."""
    return [int(found[1]) for found in map(_ID.fullmatch, names) if found]


def number_of(question: Question, answer: Answer) -> int:
    """Of the upstream call that made a whole answer of the simulator's."""
    (number,) = numbers_in(_read(question, answer)[1])
    return number
