"""Asks a gateway what the script says, and tells who answered and how soon."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import chain

from subsecond_local.demo.script import CROWD, Ask, afterwards, opening
from subsecond_local.run.ports import HOST

# What a person can read along.
SHOWN = len(opening())
PATIENCE = 30.0
WHO = {"exact": "the cache", "semantic": "the cache, reworded", "coalesced": "a call in flight"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answered, in words, and the first byte's time in milliseconds."""

    who: str
    first_byte: float


@dataclass(slots=True)
class Traffic:
    """`say` gets a line for each question of the script's opening. A gateway that goes away ends it without a word: the
    demo is being stopped."""

    port: int
    key: str = field(repr=False)
    seconds: float
    say: Callable[[str], None]
    told: Counter[str] = field(default_factory=Counter)

    def play(self) -> None:
        """For so many seconds, and at least the whole opening."""
        end = time.monotonic() + self.seconds
        pause = self.seconds / (2 * SHOWN)
        self.say(f"\n{'asked':<46} {'answered by':<22} first byte")
        for number, ask in enumerate(chain(opening(), afterwards())):
            if number >= SHOWN and time.monotonic() >= end:
                return
            self._tell(ask, self._all(ask), shown=number < SHOWN)
            time.sleep(min(pause, max(0.0, end - time.monotonic())))

    def _all(self, ask: Ask) -> list[Answer]:
        with ThreadPoolExecutor(CROWD) as people:
            return list(people.map(self._one, [ask] * ask.crowd))

    def _one(self, ask: Ask) -> Answer:
        connection = HTTPConnection(HOST, self.port, timeout=PATIENCE)
        body = {"model": ask.model, "stream": True, "messages": [{"role": "user", "content": ask.text}]}
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        try:
            begun = time.perf_counter()
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            response = connection.getresponse()
            response.read(1)
            first = (time.perf_counter() - begun) * 1000
            response.read()
            return Answer(_who(response), first)
        finally:
            connection.close()

    def _tell(self, ask: Ask, answers: Iterable[Answer], *, shown: bool) -> None:
        for answer in sorted(answers, key=lambda answer: -answer.first_byte):
            self.told[answer.who] += 1
            if shown:
                self.say(f"{ask.text:<46} {answer.who:<22} {answer.first_byte:7.1f} ms")


def _who(response: HTTPResponse) -> str:
    if response.status != HTTPStatus.OK:
        return f"an error {response.status}"
    status = response.headers.get("cache-status", "")
    if "; hit" in status:
        return WHO[status.rpartition("detail=")[2]]
    if "collapsed" in status:
        return WHO["coalesced"]
    return "another model" if "in place of" in response.headers.get("x-subsecond-route", "") else "the model"


# What a request meets when the gateway goes away.
GONE = (OSError, HTTPException)
