"""One run of the checks: what it is about, what it has asked so far, and what several checks look at."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from subsecond_local.verify.ports import Account, Face, Gateway, Question, Refused, Reply, Report, Stack

# A tenant of its own: nothing that a check stores, counts or invalidates is anybody else's.
TENANT, NAMESPACE = "subsecond-verify", "verify"
PARTITION = f"{TENANT}:{NAMESPACE}"
# Seconds that an answer of a check lives, should it not be cleaned up.
LIFE = 900
# Environments of each function that are warmed together. One may be there already, so that on a quiet stack one at
# least starts; and an account of ten executions has room for both functions and the warmer.
TOGETHER = 2
# Requests for one answer from the cache. Each that finds nothing is a 504, which the alarms count.
TRIES = 3
CHAT = "/v1/chat/completions"
OK = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of this run, for its cost. request: its x-request-id, where it has one."""

    face: Face
    source: str
    seconds: float
    tokens: int
    request: str = ""


@dataclass(slots=True)
class Run:
    """patience: seconds to wait for what comes later by design: the index, a log. force: environments may be
    replaced."""

    stack: Stack
    account: Account
    faces: Mapping[Face, Gateway]
    model: str = ""
    key: str = field(default="", repr=False)
    force: bool = False
    patience: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    # Part of every text, so that no earlier run's answer is found.
    tag: str = field(default_factory=lambda: f"verify-{secrets.token_hex(4)}")
    asked: list[Asked] = field(default_factory=list)
    begun: float = 0.0
    warmed: Mapping[str, Any] | None = None
    # The streamed answer that later checks ask for again.
    streamed: Reply | None = None
    reported: dict[Face, Sequence[Report]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def send(self, face: Face, question: Question) -> Reply:
        """Refused when nothing answers."""
        reply = self.faces[face].ask(question)
        request = reply.headers.get("x-request-id", "")
        self.asked.append(Asked(face, reply.source, reply.seconds, tokens(reply), request))
        return reply

    def get(self, face: Face, path: str, key: str | None = None) -> Reply:
        return self.send(face, Question("GET", path, key=self.key if key is None else key))

    def chat(
        self, face: Face, text: str, *, stream: bool = False, cache_control: str = "", trace: bool = False
    ) -> Reply:
        headers = {"cache-control": cache_control} if cache_control else {}
        headers |= {"x-subsecond-trace": "1"} if trace else {}
        return self.send(face, Question("POST", CHAT, self.body(text, stream=stream), self.key, headers))

    def explain(self, face: Face, text: str, *, stream: bool = False) -> Mapping[str, Any]:
        """What would answer it there now, and why: no model is asked, and nothing counts as an error. Refused."""
        reply = self.send(face, Question("POST", "/v1/cache/explain", self.body(text, stream=stream), self.key))
        if reply.status != OK:
            raise Refused(f"/v1/cache/explain answers {reply.status}: {words(reply)}")
        return reply.json

    def await_source(self, face: Face, text: str, source: str, *, stream: bool = False) -> Mapping[str, Any]:
        """The explanation that says so, or the last one before the patience was at its end."""
        end = self.clock() + self.patience
        while (found := self.explain(face, text, stream=stream)).get("source") != source and self.clock() < end:
            self.sleep(1.0)
        return found

    def body(self, text: str, *, stream: bool) -> dict[str, Any]:
        about = f"A deployment is being checked ({self.tag}). Answer in one short sentence."
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": about}, {"role": "user", "content": text}],
            "subsecond": {"ttl": LIFE, "tags": [self.tag]},
        }
        return {**body, "stream": True, "stream_options": {"include_usage": True}} if stream else body

    def cached(self, face: Face, text: str, source: str, *, stream: bool = False) -> Reply:
        """The answer from the cache, and from nowhere else: 504 where it is not found. What has a bound in time, as the
        search has, may miss it once."""
        for _ in range(TRIES - 1):
            reply = self.chat(face, text, stream=stream, cache_control="only-if-cached")
            if reply.source == source:
                return reply
            self.sleep(1.0)
        return self.chat(face, text, stream=stream, cache_control="only-if-cached")

    def warm(self) -> Mapping[str, Any]:
        """The first report of the function that warms the others. Denied, Refused."""
        if self.warmed is None:
            self.warmed = self.warm_again()
        return self.warmed

    def warm_again(self) -> Mapping[str, Any]:
        # No more than may run at a time.
        reserved = int(self.stack.parameters.get("ReservedConcurrency") or 0)
        order = {"prewarm": {"environments": min(TOGETHER, reserved or TOGETHER)}}
        return self.account.invoke(self.stack.outputs["PrewarmFunction"], order)


def tokens(reply: Reply) -> int:
    """What the model counted for an answer that it made."""
    last = reply.events[-1] if reply.events else reply.json
    usage = last.get("usage") or {}
    found = usage.get("total_tokens", 0) if reply.source == "upstream" else 0
    return found if isinstance(found, int) else 0


def words(reply: Reply) -> str:
    """The message of an error as OpenAI shapes them, or how the body begins."""
    error = reply.json.get("error")
    said = error.get("message") if isinstance(error, Mapping) else None
    return str(said or reply.body[:200].decode("utf-8", "replace") or "nothing")
