"""Model servers that live in virtual time, and what asks them: health, terms, candidates."""

import asyncio
import json
from contextlib import aclosing, suppress

from subsecond.errors import SubsecondError
from subsecond.model import Call, Chunk, Done, Head
from subsecond.ports import Reply
from subsecond.routing.attempts import AttemptTerms, Candidate, answer, as_served
from subsecond.routing.health import Health
from subsecond.stats.trace import Trace
from subsecond.stores.memory.health import MemoryHealthStore
from subsecond.upstreams.admission import Admission, Limits
from tests.support.virtual_time import now, run

HEADERS = ((b"x-ratelimit-remaining-requests", b"9"),)


class Server:
    """It answers in the form that it is asked in. `wait`: seconds to the first token, or a function that gives them (or
    an error) for the call's number. `broken`: an error after that many words. `role_first`: said before the wait.
    `usage`: told at the end. `payloads`: said in place of the words (a whole reply: the first one)."""

    def __init__(
        self, wait=0.1, words=("a", "b"), *, gap=0.0, broken=None, role_first=False, usage=None, payloads=None
    ):
        self.wait = wait if callable(wait) else lambda _: wait
        self.words = words
        self.gap = gap
        self.broken = broken
        self.role_first = role_first
        self.usage = usage
        self.payloads = payloads
        self.begun = self.closed = self.complete = 0
        self.calls = []

    async def ask(self, call):
        number = self.begun
        self.begun += 1
        self.calls.append(call)
        said = self._said(number)
        if call.form == "stream":
            stream = Stream(self, said)
            try:
                await stream.begin()
            except BaseException:
                stream.close()
                raise
            return stream
        try:
            text = [payload async for payload in said]
            self.complete += 1
        finally:
            self.closed += 1
        return Reply(text[0] if self.payloads is not None else whole(text, self.usage), headers=HEADERS)

    async def _said(self, number):
        if self.role_first:
            yield chunk({"role": "assistant", "content": ""})
        wait = self.wait(number)
        if isinstance(wait, tuple):
            wait, error = wait
            await asyncio.sleep(wait)
            raise error
        await asyncio.sleep(wait)
        for at, payload in enumerate(self._payloads()):
            if self.broken and at == self.broken[0]:
                raise self.broken[1]
            if 0 < at < len(self.words):
                await asyncio.sleep(self.gap)
            yield payload

    def _payloads(self):
        if self.payloads is not None:
            return self.payloads
        counted = [json.dumps({"choices": [], "usage": self.usage}).encode()] if self.usage else []
        return [*(chunk({"content": word}) for word in self.words), chunk({}, "stop"), *counted]

    async def fetch(self, path, body, deadline):
        raise NotImplementedError


class Stream:
    """The port's EventStream, with its first event read."""

    headers = HEADERS

    def __init__(self, server, said):
        self._server, self._said = server, said
        self._first = self._closed = None

    async def begin(self):
        self._first = await self._read()

    async def next(self):
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await self._read()

    async def _read(self):
        payload = await anext(self._said, None)
        if payload is None:
            self._server.complete += 1
            self.close()
            return None
        return Chunk(b"working", comment=True) if payload == COMMENT else Chunk(payload)

    def close(self):
        if not self._closed:
            self._closed = True
            self._server.closed += 1
            with suppress(StopIteration):
                self._said.aclose().send(None)


COMMENT = b": working"


def chunk(delta, finish=None):
    return json.dumps({"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode()


def whole(chunks, usage=None):
    """The reply that says what the chunks say."""
    choices = [choice for one in chunks for choice in json.loads(one)["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "choices": [choice], **({"usage": usage} if usage else {})}).encode()


def health(store=None, **given):
    """A Health on the loop's clock. `chance`: 0, so that rests are as short as they can be."""
    given = {"clock": now, "ticks": now, "chance": lambda: 0.0, **given}
    return Health(MemoryHealthStore() if store is None else store, **given)


def terms(hedges=None, patience=15.0, known=None, limits=None):
    admission = Admission(limits or Limits(10_000, 10_000, 64, 1.0, batch=8), ticks=now)
    return AttemptTerms(admission, known or health(), patience, hedges, now)


def candidate(name, server, group="", window=0):
    return Candidate(name, server, f"{name}-served", group, window)


def call(deadline=None, form="stream", **fields):
    body = {"messages": [{"role": "user", "content": "Hello?"}], **fields}
    return Call("chat", "auto", body, form=form, deadline=deadline)


async def collected(opening):
    """(head, text, seconds to the head, seconds in all) of a complete answer. opening: gives whoever answers."""
    begun = now()
    text, head, first = "", None, 0.0
    async with aclosing((await opening).events()) as events:
        async for event in events:
            if isinstance(event, Head):
                assert head is None, "two heads"
                head, first = event, now() - begun
            elif isinstance(event, Chunk) and not event.usage and not event.comment:
                for choice in json.loads(event.data)["choices"]:
                    text += choice.get("delta", choice.get("message")).get("content") or ""
    assert isinstance(event, Done)
    assert event.recording.text == text
    return head, text, first, now() - begun


def ask(*servers, deadline=None, made=None, trace=None, group="", sent=as_served, windows=(), known=None, **fields):
    """(what came of it, the trace); an error is given back. `deadline`: seconds from now; `made`: gives the terms."""
    trace = trace or Trace()

    async def main():
        until = None if deadline is None else now() + deadline
        room = [*windows, *[0] * len(servers)]
        candidates = [candidate(f"m{at}", server, group, room[at]) for at, server in enumerate(servers)]
        begun, shared = now(), made() if made else terms(known=known)
        try:
            return await collected(answer(candidates, call(until, **fields), trace, shared, sent))
        except SubsecondError as error:
            error.after = now() - begun
            return error
        finally:
            await shared.health.flush(force=True)

    return run(main()), trace


def outcomes(trace):
    return [(attempt.model, attempt.kind, attempt.outcome) for attempt in trace.attempts]
