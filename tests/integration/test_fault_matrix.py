"""Every part of ours that can fail, times every way to fail, times every kind of request: the client gets its answer.

The keys' store is the one exception: who cannot be known is not let in. Nothing here asserts how long a test takes: the
loop's time is virtual, so that what is added to a request is known to the millisecond.
"""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.model import Call, Chunk, Done, Head, Tenant
from subsecond.stats.trace import Trace
from tests.support import virtual_time
from tests.support.faults import FAULTS, LATE, faulty

TENANT, STRANGER = Tenant("acme", "prod", "laptop"), Tenant("other", "prod", "laptop")
MODEL = "sim-t0-i0-n8"
STORED, REWORDED = "How do I reset my password?", "How can I reset my password?"
PORTS = ("exact", "hits", "ledger", "invalidations", "flights", "embedder", "objects")
# kind of request: what is asked, in which form, and who answers when nothing fails
KINDS = {
    "hit": (STORED, "stream", "exact"),
    "hit in the other form": (STORED, "whole", "exact"),
    "neighbour": (REWORDED, "stream", "semantic"),
    "miss": ("What is the capital of France?", "stream", "upstream"),
    "whole miss": ("What is the capital of France?", "whole", "upstream"),
}
# Seconds that a silent part may cost: before the first byte the lookup and the look behind the lease (1 s each, beside
# the lease and the semantic stage); afterwards the store and the figures.
BEFORE_THE_FIRST_BYTE, IN_ALL = 2.5, 4.5


def call(text, form):
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    return Call("chat", MODEL, body, form=form)


async def answer(made, call, tenant=TENANT):
    """Who answers, the text that the client gets, and the loop's time at which the first byte could go out."""
    async with aclosing(made.complete(tenant, call, Trace())) as events:
        head = await anext(events)
        first = virtual_time.now()
        said = [event async for event in events]
    assert isinstance(head, Head)
    assert isinstance(said[-1], Done)
    assert head.source != "upstream" or any(isinstance(event, Chunk) for event in said)
    return head.source, said[-1].recording.text, first


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_part_that_fails_costs_no_request_its_answer(settings, fault, port, kind):
    text, form, source = KINDS[kind]
    # The product's own time boxes, not those of tests that a busy machine may run.
    boxes = {name: getattr(Settings(), name) for name in ("semantic_timeout", "store_timeout", "lease_timeout")}
    settings = replace(settings, semantic="guarded", **boxes)
    expected = asyncio.run(_text(settings, call(text, form)))
    with faulty(settings, port, fault) as (broken, part):
        made = gateway(broken)
        asyncio.run(_prime(made, stored=source != "upstream"))

        async def asked():
            part.on = True
            begun = virtual_time.now()
            *told, first = await answer(made, call(text, form))
            return *told, first - begun, virtual_time.now() - begun

        who, said, before, took = virtual_time.run(asked(), leaves_tasks=True, patience=0.01)
    assert (
        said in {expected, asyncio.run(_text(settings, call(STORED, form)))} if who == "semantic" else said == expected
    )
    assert who in {source, "upstream"}
    assert part.met or port == "hits" or source != "upstream"
    assert before <= BEFORE_THE_FIRST_BYTE
    assert took <= IN_ALL
    if fault not in {"silent", "late"}:
        assert took < LATE


@pytest.mark.parametrize("fault", sorted({*FAULTS} - {"late", "silent"}))  # a silent one has boto3's own time limit
def test_who_cannot_be_known_is_not_let_in(settings, fault):
    with faulty(settings, "keys", fault) as (broken, part):
        made = gateway(broken)
        part.on = True
        with pytest.raises(Unavailable):
            virtual_time.run(made.authenticate("sk-test", Trace()))


async def _text(settings, call):
    return (await answer(gateway(replace(settings, semantic="off")), call))[1]


async def _prime(made, *, stored):
    """In real time, because what is loaded late is loaded in a thread. Rules and manifest are read at a tenant's first
    request: so the misses are one, and meet the fault there too."""
    await made.semantic.get()
    await answer(made, call(STORED, "stream"), TENANT if stored else STRANGER)
