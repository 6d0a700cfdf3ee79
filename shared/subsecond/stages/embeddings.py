"""Embeddings: each item is looked up by itself, the missing ones are asked in one call, and the list is put together.

A reply from which nothing is left out and to which nothing is added passes as it came. A request whose shape is not
known goes to the upstream whole, and its reply back, unread but for errors and usage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from subsecond.cache.cacheability import lifetime, may_coalesce, may_read
from subsecond.cache.embeddings import Item, ItemEmbedding, KeptEmbedding, items_of, joined, keys_of, taken_apart
from subsecond.cache.end_user import tags_of, wall
from subsecond.cache.fields_left_out import PARTS_FLIGHTS
from subsecond.cache.invalidation import Rules
from subsecond.cache.key import KeyPolicy
from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, NotCached
from subsecond.model import Call, Head, Prompt, Tenant
from subsecond.ports import Reply
from subsecond.resending import counted_in
from subsecond.stages.exact import young_enough
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Step, Trace

if TYPE_CHECKING:
    from subsecond.stores.memory.embeddings import EmbeddingMemory

Found = dict[bytes, KeptEmbedding]
# None: that call has failed.
Aloft = dict[bytes, asyncio.Future[KeptEmbedding | None]]
# What lifetimes ask of a prompt: a text to embed is no question of the day.
_NO_QUESTION = Prompt("", "", "")


@dataclass(frozen=True, slots=True)
class EmbeddingsReply:
    """A body for the client, and what is told of it."""

    body: bytes
    head: Head
    content_type: str = "application/json"


@dataclass(slots=True, eq=False)
class _Asking:
    """One request on its way. keys: of each place in the list; items: of each key, so that a text which stands there
    twice is asked once. head: of its own upstream call, None where it needed none."""

    partition: str
    call: Call
    trace: Trace
    keys: Sequence[bytes]
    items: Mapping[bytes, Item]
    tags: Sequence[str]
    head: Head | None = None

    @property
    def where(self) -> tuple[str, ...]:
        """Whose calls it may share."""
        return self.partition, *(repr(self.call.body.get(name)) for name in PARTS_FLIGHTS)

    def spend(self, usage: Mapping[str, Any] | None) -> None:
        """Of one upstream call."""
        before = self.trace.usage or {}
        counts = {name: n for name, n in (usage or {}).items() if type(n) is int}
        self.trace.usage = {name: n + before.get(name, 0) for name, n in counts.items()} if usage else before


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Used from one event loop."""

    models: Models
    rules: Rules
    settings: Settings
    memory: EmbeddingMemory
    keying: KeyPolicy
    # What is being asked now, for whoever asks for the same meanwhile: by partition, and by what parts flights.
    _aloft: dict[tuple[str, ...], Aloft] = field(default_factory=dict)

    async def answer(self, tenant: Tenant, call: Call, trace: Trace) -> EmbeddingsReply:
        """Raises NotFound, NotCached, and what `Models.relay` raises."""
        counted_in(trace.counts)
        trace.model, trace.operation = call.model, call.endpoint
        with trace.step(Step.PREPARE):
            self.models.know(call)
            terms = self.keying.terms(call.model, tenant)
            ignored, behind = terms.left_out, wall(call, tenant, terms.scope).encode()
            items = items_of(call.body, ignored) if self.settings.embeddings_bytes else None
            keys = [behind + key for key in keys_of(call.body, items, ignored)] if items else []
        asked, tags = dict(zip(keys, items or (), strict=True)), tags_of(call, tenant)
        asking = _Asking(tenant.partition, call, trace, keys, asked, tags)
        if items is None:
            self._check_only_if_cached(call)
            return await self._passed(asking)
        with trace.step(Step.EXACT):
            found = await self._held(asking)
        return await self._completed(asking, found)

    async def _held(self, asking: _Asking) -> Found:
        """What is in memory, young enough and not invalidated."""
        call, trace, partition = asking.call, asking.trace, asking.partition
        if not may_read(call):
            return {}
        trace.cacheable = True
        self.rules.begin(partition)
        kept = {key: one for key in asking.items if (one := self.memory.get(partition, key))}
        if not kept or not await self.rules.ready(partition, trace):
            return {}
        return {key: one for key, one in kept.items() if self._may_serve(asking, one)}

    def _may_serve(self, asking: _Asking, kept: KeptEmbedding) -> bool:
        valid = not self.rules.covers(asking.partition, kept.created, kept.places)
        return valid and young_enough(kept.created, asking.call)

    async def _completed(self, asking: _Asking, found: Found) -> EmbeddingsReply:
        hits = dict(found)
        missing = [key for key in asking.items if key not in found]
        counted = {"embeddings_hits": sum(key in found for key in asking.keys), "embeddings_misses": len(missing)}
        asking.trace.counts.update({name: n for name, n in counted.items() if n})
        if missing:
            self._check_only_if_cached(asking.call)
        aloft = self._aloft.get(asking.where, {}) if may_coalesce(asking.call) else {}
        theirs = {key: aloft[key] for key in missing if key in aloft}
        mine = [key for key in missing if key not in theirs]
        if mine and (whole := await self._asked(asking, mine, found)):
            return whole
        if theirs:
            found |= await self._joined(asking, theirs)
            left = [key for key in theirs if key not in found]
            if left and (whole := await self._asked(asking, left, found)):
                return whole
        return self._told(asking, found, hits)

    @staticmethod
    def _check_only_if_cached(call: Call) -> None:
        if call.rules.only_if_cached:
            raise NotCached("Not all of it is cached, and `only-if-cached` forbids asking the model.")

    async def _joined(self, asking: _Asking, theirs: Aloft) -> Found:
        """What others had asked for already, of those whose calls have answered."""
        deadline = asking.call.deadline
        left = None if deadline is None else max(0.0, deadline - monotonic())
        with asking.trace.step(Step.FLIGHT):
            _, late = await asyncio.wait(theirs.values(), timeout=left)
        if late:
            raise DeadlineExceeded("The time limit of this request is used up.")
        if not await self.rules.ready(asking.partition, asking.trace):
            return {}
        told = {key: one for key, future in theirs.items() if (one := future.result())}
        return {key: one for key, one in told.items() if self._may_serve(asking, one)}

    async def _asked(self, asking: _Asking, keys: Sequence[bytes], found: Found) -> EmbeddingsReply | None:
        """Ask for these items in one call, and add them to `found`. The reply itself, where it is all that was asked
        for, or where the parts of it cannot be told apart: then the request is asked as it came."""
        whole = len(keys) == len(asking.keys)
        loop, where = asyncio.get_running_loop(), asking.where
        flights: Aloft = {key: loop.create_future() for key in keys} if may_coalesce(asking.call) else {}
        aloft = self._aloft.setdefault(where, {})
        aloft |= flights
        made: Found = {}
        try:
            items = [asking.items[key] for key in keys]
            call = asking.call if whole else replace(asking.call, body={**asking.call.body, "input": items})
            reply, told = await self._fetched(asking, call, items)
            made = self._kept(asking, keys, told)
        finally:
            for key, flight in flights.items():
                flight.set_result(made.get(key))
                if aloft.get(key) is flight:
                    del aloft[key]
            if not aloft and self._aloft.get(where) is aloft:
                del self._aloft[where]
        if whole:
            return self._as_it_came(asking, reply)
        found |= made
        return None if made else await self._passed(asking)

    async def _passed(self, asking: _Asking) -> EmbeddingsReply:
        """As it came, both ways."""
        reply, _ = await self._fetched(asking, asking.call, ())
        return self._as_it_came(asking, reply)

    async def _fetched(
        self, asking: _Asking, call: Call, items: Sequence[Item]
    ) -> tuple[Reply, list[ItemEmbedding] | None]:
        """One upstream call, its reply, and the embeddings of these items in it, where these can be told apart."""
        trace = asking.trace
        trace.source = "upstream"
        with trace.step(Step.UPSTREAM):
            reply, route = await self.models.relay(call, trace)
        told, usage = taken_apart(reply.body, items)
        asking.spend(usage)
        asking.head = Head("upstream", trace.model or call.model, headers=reply.headers, route=route)
        return reply, told

    def _kept(self, asking: _Asking, keys: Sequence[bytes], told: Sequence[ItemEmbedding] | None) -> Found:
        """A reply's embeddings by their items, and in memory where they may be stored. The request's beginning dates
        them, as it does answers (see `store.entry_of`)."""
        call, now = asking.call, time.time()
        created = now - (perf_counter() - asking.trace.started)
        seconds = lifetime(self.settings, call, _NO_QUESTION)
        found: Found = {}
        for key, one in zip(keys, told or (), strict=bool(told)):
            models = dict.fromkeys((call.model, str(one.around.get("model", ""))))
            tags = (("tag", tag) for tag in asking.tags)
            places = (("namespace", ""), *(("model", name) for name in models), *tags)
            found[key] = KeptEmbedding(one, created, now + seconds, places)
            if call.rules.write and seconds > 0:
                self.memory.put(asking.partition, key, found[key])
        return found

    @staticmethod
    def _as_it_came(asking: _Asking, reply: Reply) -> EmbeddingsReply:
        asking.trace.first_byte()
        assert asking.head
        return EmbeddingsReply(reply.body, asking.head, reply.content_type)

    @staticmethod
    def _told(asking: _Asking, found: Found, hits: Found) -> EmbeddingsReply:
        """The list put together. What the kept ones took when they were made is saved, each time that they stand in it;
        what was spent for this request is in its trace already."""
        trace, own = asking.trace, asking.head
        told = [found[key] for key in asking.keys]
        total = sum(one.embedding.tokens or 0 for one in told)
        trace.saved = {"prompt_tokens": total - (trace.usage or {}).get("prompt_tokens", 0)}
        trace.first_byte()
        if own is None:
            trace.source = "exact" if len(hits) == len(found) else "coalesced"
        now = time.time()
        age = max((now - one.created for one in hits.values()), default=None)
        ttl = min(one.expires for one in told) - now
        head = own or Head("exact" if trace.source == "exact" else "upstream", asking.call.model)
        return EmbeddingsReply(joined([one.embedding for one in told]), replace(head, age=age, ttl=ttl))
