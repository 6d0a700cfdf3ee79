"""Two gateways over the same tables, and what is asked of them about their cache."""

from dataclasses import replace
from hashlib import sha256

import pytest

from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.model import Tenant
from subsecond.stores.layered.answers import LayeredStore
from subsecond.stores.memory.answers import MemoryStore
from subsecond.stores.memory.hits import MemoryHits
from subsecond.stores.memory.invalidations import MemoryInvalidations
from subsecond.stores.memory.keys import MemoryKeys

ASKED, PARAPHRASE, ANOTHER = (
    "How do I reset my password?",
    "How can I reset the password?",
    "How could I reset my password?",
)
MODEL = "sim-t0-i0-n8"


SETTINGS = Settings(
    upstream="subsecond_local.simulator.adapter",
    api_key="sk-a",
    default_model=MODEL,
    semantic="threshold",
    similarity=0.8,
    # moto is slow while other tests run.
    store_timeout=20.0,
    semantic_timeout=20.0,
)
TENANTS = {sha256(f"sk-{name}".encode()).hexdigest(): Tenant(name, "n", name) for name in "ab"}


def in_memory():
    """Two gateways whose stores lie in this process: a memory of their own each, and what is shared."""
    far, rules, hits = MemoryStore(1 << 20), MemoryInvalidations(), MemoryHits()
    for _ in range(2):
        made = gateway(SETTINGS)
        made.rules._store = rules
        exact = LayeredStore(MemoryStore(1 << 20), far)
        yield replace(made, exact=exact, hits=hits, keys=MemoryKeys(TENANTS))


class Pair:
    """Two environments: the same tables, nothing else in common."""

    def __init__(self, gateways, clients):
        self.gateways = gateways
        self.here, self.there = clients

    async def teach(self, text=ASKED):
        """There finds by its index what here has stored, as it would by the segments."""
        seen = await self.here.chat(text, x_subsecond_trace="1")
        explained = await self.here.post("/v1/cache/explain", chat(text))
        entry = await self.gateways[0].exact.fresh("a:n", explained.json["key"], "whole")
        similar = await self.gateways[1].semantic.get()
        (vector,) = await similar.embedder.embed([text])
        similar.learn(entry, vector)
        return seen, entry.prompt.key

    async def gap(self):
        """The rules' refresh is due again, without waiting for it."""
        for made in self.gateways:
            for known in made.rules._partitions.values():
                known.refresh.expire()


both = pytest.mark.parametrize("gateways", ["memory", "tables"], indirect=True)


def chat(text, **fields):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def answered(seen):
    words = seen.headers["cache-status"].removeprefix("subsecond; ").split("; ")
    return words[-1].removeprefix("detail=") if words[0] == "hit" else words[0]


def entry_of(seen):
    return seen.headers["cache-status"].partition('key="')[2].partition('"')[0]


async def unstored(client, text, **fields):
    """Asks without storing, so that it can be asked again."""
    return await client.chat(text, cache_control="no-store", **fields)
