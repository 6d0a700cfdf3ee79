"""The life of a request, top to bottom.

    authenticate -> prepare -> exact -> upstream -> store -> record

There is one path, and it streams: a whole reply is a stream that somebody joined, a hit is a stored answer replayed.
The first event is a Head, so whatever fails before it has a proper status. After Done nothing is owed to the client:
the writes come then, before the generator ends, because Lambda freezes what would run later.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from subsecond.cacheability import may_read, may_store
from subsecond.config import Settings
from subsecond.errors import NotCached, Unauthorized, Unavailable
from subsecond.failopen import fail_open
from subsecond.model import Answer, Call, Done, Entry, Event, Head, Prompt, Tenant
from subsecond.ports import ExactStore, Keys, Ledger, Reply, Upstream
from subsecond.prompts.canonical import prepare
from subsecond.stats.trace import Trace
from subsecond.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: Settings
    keys: Keys
    exact: ExactStore
    upstream: Upstream
    ledger: Ledger

    async def authenticate(self, token: str | None, trace: Trace) -> Tenant:
        """Who asks, before anything is read, looked up or spent. Fails closed. Raises Unauthorized, Unavailable."""
        with trace.step("auth"):
            if not token:
                raise Unauthorized("No API key. Send it as `Authorization: Bearer KEY`.")
            digest = sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
            try:
                tenant = await self.keys.tenant(digest)
            except Exception as error:
                raise Unavailable("The key store cannot be reached. Try again shortly.") from error
        if tenant is None:
            raise Unauthorized("This API key is unknown or disabled.")
        trace.partition = tenant.partition
        return tenant

    async def complete(self, tenant: Tenant, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        """Head, then Chunks, then Done; after a hit's Head, Done alone. Raises SubsecondError. To be closed."""
        try:
            async with aclosing(self._stages(tenant, call, trace)) as events:
                async for event in events:
                    yield event
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await self.record(trace)

    async def _stages(self, tenant: Tenant, call: Call, trace: Trace) -> AsyncGenerator[Event]:
        trace.model = call.model
        with trace.step("prepare"):
            prompt = prepare(call, tenant)

        with trace.step("exact"):
            entry = await self._lookup(call, tenant, prompt, trace)
        if entry:
            yield _hit(entry, trace)
            yield Done(entry.answer)
            return
        if call.rules.only_if_cached:
            raise NotCached("Nothing is cached for this request, and `only-if-cached` forbids asking the model.")

        transcript = Transcript(call.endpoint)
        trace.source = "upstream"
        async with aclosing(self.upstream.stream(call)) as payloads:
            with trace.step("upstream"):
                first = await anext(payloads, None)
            chunk = transcript.add(first) if first is not None else None
            trace.first_byte()
            yield Head("upstream", call.model)
            if chunk:
                yield chunk
            async for payload in payloads:
                if chunk := transcript.add(payload):
                    yield chunk
        if usage := transcript.usage_chunk():
            yield usage
        answer, trace.usage = transcript.answer(), transcript.usage
        yield Done(answer)

        with trace.step("store"):
            await self._store(call, tenant, prompt, answer, trace)

    async def relay(self, path: str, body: Mapping[str, Any] | None, trace: Trace) -> Reply:
        """A call that is only passed through: embeddings, the list of models."""
        trace.model = str(body["model"]) if body else None
        trace.source = "upstream"
        try:
            with trace.step("upstream"):
                return await self.upstream.fetch(path, body, None)
        except BaseException as error:
            trace.fail(error)
            raise
        finally:
            await self.record(trace)

    async def statistics(self, tenant: Tenant) -> Mapping[str, Any]:
        """The figures of the key's own partition, this environment's merged in first."""
        await self.ledger.flush(force=True)
        return await self.ledger.summary(tenant.partition)

    async def record(self, trace: Trace) -> None:
        """On every exit. The merge into the shared table happens after the last byte, every few seconds at most."""
        trace.finish()
        self.ledger.record(trace)
        await fail_open(trace, "flush", self.ledger.flush(), self.settings.store_timeout)

    async def close(self) -> None:
        """Merge the figures once more; connections end with the process."""
        await self.ledger.flush(force=True)

    async def _lookup(self, call: Call, tenant: Tenant, prompt: Prompt, trace: Trace) -> Entry | None:
        if not may_read(call):
            return None
        trace.cacheable = True
        found = self.exact.get(tenant.partition, prompt.key)
        entry = await fail_open(trace, "exact", found, self.settings.store_timeout)
        oldest = call.rules.max_age
        return entry if entry and (oldest is None or time.time() - entry.created <= oldest) else None

    async def _store(self, call: Call, tenant: Tenant, prompt: Prompt, answer: Answer, trace: Trace) -> None:
        if not may_store(call, answer):
            return
        now = time.time()
        entry = Entry(tenant.partition, prompt, answer, created=now, expires=now + self.settings.ttl)
        trace.stored_expiry = entry.expires
        trace.replaced_expiry = await fail_open(trace, "store", self.exact.put(entry), 2 * self.settings.store_timeout)


def _hit(entry: Entry, trace: Trace) -> Head:
    now = time.time()
    trace.source = "exact"
    trace.first_byte()
    return Head("exact", entry.answer.model, age=max(0.0, now - entry.created), ttl=entry.expires - now)
