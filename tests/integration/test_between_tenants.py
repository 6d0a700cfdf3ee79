"""What one tenant has asked changes nothing for another: neither the answer nor what is done to find it."""

import asyncio
from contextlib import ExitStack, aclosing
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.model import Tenant
from subsecond.stats.trace import Trace
from tests.support.faults import spied

PORTS = ("exact", "flights", "objects", "embedder", "invalidations", "hits")
OWNER, OTHER = Tenant("acme", "prod", "laptop"), Tenant("rival", "prod", "laptop")


async def answer(made, tenant, call):
    async with aclosing(made.complete(tenant, call, Trace())) as events:
        head, *_ = [event async for event in events]
        return head.source


@pytest.mark.parametrize("words", ["How do I reset my password?", "How can I reset my password?"])
def test_a_question_that_another_tenant_has_stored_takes_the_same_steps_as_one_that_nobody_asked(settings, ask, words):
    """The time of an answer tells nothing where the work is the same, call by call."""
    calls = []
    with ExitStack() as stack:
        made_of = replace(settings, semantic="guarded")
        for port in PORTS:
            made_of = stack.enter_context(spied(made_of, port, calls))

        async def asked():
            made = gateway(made_of)
            await made.semantic.get()
            assert await answer(made, OWNER, ask("How do I reset my password?")) == "upstream"
            assert await answer(made, OTHER, ask("Warm the other tenant up")) == "upstream"
            steps = []
            for text in (words, "Which trees grow in Norway?"):
                calls.clear()
                assert await answer(made, OTHER, ask(text)) == "upstream"
                steps.append(list(calls))
            return steps

        stored, unheard = asyncio.run(asked())
    assert stored == unheard
    assert ("exact", "get") in stored or ("exact", "fresh") in stored
