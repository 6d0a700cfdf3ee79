"""A key that is known is believed for as long as it takes to read it again, and for nothing more."""

import asyncio

import pytest

from subsecond.errors import Unauthorized, Unavailable
from subsecond.model import Tenant
from subsecond.ports import Believed
from subsecond.stages.authenticate import claim
from subsecond.stats.trace import Trace

OWNER = Tenant("acme", "prod", "laptop")


class Keys:
    """`now`: what the store says of any key; `known`: what is remembered."""

    def __init__(self, now, known=None):
        self.now, self.known, self.reads = now, known, 0

    async def tenant(self, token_hash):
        self.reads += 1
        await asyncio.sleep(0)
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def believed(self, token_hash):
        return self.known


async def test_a_key_that_was_read_lately_is_not_read():
    keys, trace = Keys(None, Believed(OWNER, sure=True)), Trace()
    found = await claim(keys, "sk", trace)
    await found.confirmed(trace)
    assert (found.tenant, keys.reads, trace.partition) == (OWNER, 0, "acme:prod")


async def test_a_key_that_nobody_knows_here_is_waited_for():
    keys, trace = Keys(OWNER), Trace()
    assert (await claim(keys, "sk", trace)).tenant == OWNER
    assert (keys.reads, trace.partition) == (1, "acme:prod")
    with pytest.raises(Unauthorized):
        await claim(Keys(None), "sk", Trace())
    with pytest.raises(Unauthorized):
        await claim(Keys(OWNER), None, Trace())


async def test_a_believed_key_is_read_beside_the_request():
    keys, trace = Keys(OWNER, Believed(OWNER, sure=False)), Trace()
    found = await claim(keys, "sk", trace)
    assert found.tenant == OWNER
    await found.confirmed(trace)
    assert keys.reads == 1


@pytest.mark.parametrize(
    ("now", "error"),
    [(None, Unauthorized), (OSError("away"), Unavailable), (Tenant("other", "prod", "laptop"), Unavailable)],
)
async def test_a_believed_key_that_is_gone_or_cannot_be_read_is_refused_and_is_no_tenants(now, error):
    trace = Trace()
    found = await claim(Keys(now, Believed(OWNER, sure=False)), "sk", trace)
    with pytest.raises(error):
        await found.confirmed(trace)
    assert trace.partition is None


async def test_of_two_prompts_that_wait_for_one_check_the_one_that_is_cancelled_ends_it_for_nobody_else():
    found = await claim(Keys(OWNER, Believed(OWNER, sure=False)), "sk", Trace())
    cancelled, other = (asyncio.create_task(found.confirmed(Trace())) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    await other
    assert cancelled.cancelled()


async def test_a_check_that_nobody_comes_to_is_no_error(recwarn):
    await claim(Keys(None, Believed(OWNER, sure=False)), "sk", Trace())
    await asyncio.sleep(0.01)
    assert not recwarn.list
