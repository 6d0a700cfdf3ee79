"""Whether an answer is its own question's, its own tenant's, and not one that was deleted."""

from __future__ import annotations

import json
import re
from collections import defaultdict

from tests.soak.mixed.questions import Question
from tests.soak.mixed.wire import Answer

# The simulator's: the call's number stands at the end, and grows.
_ID = re.compile(r"chatcmpl-[0-9a-f]{16}([0-9]{8,})")


class Judge:
    """`wrong` has a line for each answer that is not right; a soak ends with none."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        # By the upstream call that made an answer: for whom it was made.
        self._owners: dict[int, str] = {}
        # By tenant and tag, empty for all of a tenant's: no answer of an earlier call may be served any more.
        self._floors: dict[tuple[str, str], int] = defaultdict(int)

    def floor(self, tenant: str, question: Question) -> int:
        """To be taken when the question is sent: what is deleted from then on may still be served."""
        return max(self._floors[tenant, ""], self._floors[tenant, question.tag])

    def deleted(self, tenant: str, tag: str, number: int) -> None:
        """The gateway has said so. number: of an upstream call that came before the deletion was asked for."""
        self._floors[tenant, tag] = max(self._floors[tenant, tag], number)

    def check(self, tenant: str, question: Question, answer: Answer, floor: int) -> None:
        """A whole answer, or the part of one that came."""
        if answer.status != 200:
            self._check_error(question, answer)
            return
        try:
            text, names, complete = _read(answer)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._say(f"{error!r} in the answer", question, answer)
            return
        rights = [question.right()]
        told = answer.headers.get("cache-status", "")
        if question.near and ("hit" in told or "collapsed" in told):
            rights += question.right_too()
        if not any(text == right if complete else right.startswith(text) for right in rights):
            self._say(f"the text {text!r} in place of {rights}", question, answer)
        self._check_call(tenant, question, answer, names, floor)

    def _check_call(self, tenant: str, question: Question, answer: Answer, names: set[str], floor: int) -> None:
        if len(names) > 1:
            self._say(f"several calls in one answer: {names}", question, answer)
        for found in filter(None, map(_ID.fullmatch, names)):
            number = int(found[1])
            if self._owners.setdefault(number, tenant) != tenant:
                self._say(f"call {number} was made for {self._owners[number]}, and serves {tenant}", question, answer)
            if number <= floor:
                self._say(f"call {number} was deleted up to {floor}", question, answer)

    def _check_error(self, question: Question, answer: Answer) -> None:
        """OpenAI's error object, with words."""
        try:
            right = bool(json.loads(answer.body)["error"]["message"])
        except (ValueError, LookupError, TypeError):
            right = False
        if not right:
            self._say("an error without words", question, answer)

    def _say(self, what: str, question: Question, answer: Answer) -> None:
        self.wrong.append(f"{what}; {question.text[:80]!r} {answer.status} {answer.headers} {answer.body[:600]!r}")


def _read(answer: Answer) -> tuple[str, set[str], bool]:
    """Text, the calls' names, and whether the model had ended. Raises what broken payloads raise."""
    if not answer.streamed:
        told = json.loads(answer.body)
        return told["choices"][0]["message"]["content"], {told["id"]}, True
    events = answer.events() if answer.whole else _whole_events(answer)
    frames = [event for event in events if event is not None and "choices" in event]
    text = "".join(choice["delta"].get("content") or "" for frame in frames for choice in frame["choices"])
    return text, {frame["id"] for frame in frames}, None in events


def _whole_events(answer: Answer) -> list[object]:
    """Those whose end came, where the client has left in the midst of one."""
    answer.parts = [answer.body.rpartition(b"\n\n")[0]]
    return answer.events()


def number_of(answer: Answer) -> int:
    """Of the upstream call that made a whole answer of the simulator's."""
    found = _ID.fullmatch(json.loads(answer.body)["id"])
    assert found
    return int(found[1])
