"""Model servers that live in virtual time, and what asks them: health, terms, candidates."""

import asyncio
import json
from contextlib import aclosing

from subsecond.model import Call, Chunk, Done, Head
from subsecond.routing.attempts import Candidate, Terms
from subsecond.routing.health import Health
from subsecond.stores.memory.health import MemoryHealthStore
from subsecond.upstreams.admission import Admission, Limits
from tests.support.virtual_time import now


class Server:
    """`wait`: seconds to the first token, or a function that gives them (or an error) for the call's number. `broken`:
    an error after that many words. `first`: what is said before the wait."""

    def __init__(self, wait=0.1, words=("a", "b"), *, gap=0.0, broken=None, role_first=False, slow_close=0.0):
        self.wait = wait if callable(wait) else lambda _: wait
        self.words = words
        self.gap = gap
        self.broken = broken
        self.role_first = role_first
        self.slow_close = slow_close
        self.begun = self.closed = self.complete = 0
        self.calls = []

    async def stream(self, call):
        number = self.begun
        self.begun += 1
        self.calls.append(call)
        try:
            if self.role_first:
                yield chunk({"role": "assistant", "content": ""})
            wait = self.wait(number)
            if isinstance(wait, tuple):
                wait, error = wait
                await asyncio.sleep(wait)
                raise error
            await asyncio.sleep(wait)
            for at, word in enumerate(self.words):
                if self.broken and at == self.broken[0]:
                    raise self.broken[1]
                if at:
                    await asyncio.sleep(self.gap)
                yield chunk({"content": word})
            yield chunk({}, "stop")
            self.complete += 1
        finally:
            self.closed += 1

    async def fetch(self, path, body, deadline):
        raise NotImplementedError


def chunk(delta, finish=None):
    return json.dumps({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode()


def health(store=None, **given):
    """A Health on the loop's clock. `chance`: 0, so that rests are as short as they can be."""
    given = {"clock": now, "ticks": now, "chance": lambda: 0.0, **given}
    return Health(MemoryHealthStore() if store is None else store, **given)


def terms(hedges=None, patience=15.0, known=None, limits=None):
    admission = Admission(limits or Limits(10_000, 10_000, 64, 1.0), ticks=now)
    return Terms(admission, known or health(), patience, hedges, now)


def candidate(name, server, group=""):
    return Candidate(name, server, f"{name}-served", group)


def call(deadline=None, **fields):
    return Call("chat", "auto", {"messages": [{"role": "user", "content": "Hello?"}], **fields}, deadline=deadline)


async def collected(events):
    """(head, text, seconds to the head, seconds in all) of a complete answer."""
    begun = now()
    text, head, first = "", None, 0.0
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Head):
                assert head is None, "two heads"
                head, first = event, now() - begun
            elif isinstance(event, Chunk) and not event.usage:
                for choice in json.loads(event.data)["choices"]:
                    text += choice["delta"].get("content") or ""
    assert isinstance(event, Done)
    assert json.loads(event.answer.body)["choices"][0]["message"]["content"] == text
    return head, text, first, now() - begun
