"""Embeddings and the list of models are admitted like completions: those of one tenant hold no other."""

import asyncio

import pytest

from subsecond.errors import DeadlineExceeded, Overloaded
from subsecond.model import Call, Prompt, Request, Tenant
from subsecond.ports import Reply
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Trace
from subsecond.upstreams.admission import Admission, Limits
from tests.support.scripted import whole

EMBEDDINGS, MODELS = "embeddings", "models"


def asked(models, tenant, deadline=None, kind=EMBEDDINGS):
    trace = Trace(partition=f"{tenant}:prod")
    if kind == MODELS:
        return models.listed("", deadline, trace)
    return models.relay(Call("embeddings", "e", {"model": "e", "input": "a"}, deadline=deadline), trace)


class OneRoom:
    """An upstream that serves chats while at most two other calls hang; then nobody."""

    def __init__(self):
        self.hanging = 0
        self.deadlines = []

    async def fetch(self, path, body, deadline):
        self.hanging += 1
        self.deadlines.append(deadline)
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1
        return Reply(b"{}")

    async def ask(self, call):
        if self.hanging > 2:
            await asyncio.Event().wait()
        return Reply(whole("Hi"))


@pytest.fixture
async def hanging():
    """`hanging(models, tenant, n, kind?)`: that many calls are on their way, and ended with the test."""
    tasks = []

    async def begin(models, tenant, n, kind=EMBEDDINGS):
        more = [asyncio.create_task(asked(models, tenant, kind=kind)) for _ in range(n)]
        tasks.extend(more)
        for _ in range(5):
            await asyncio.sleep(0)
        return more

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def models(**limits):
    upstream = OneRoom()
    told = {"model": 3, "tenant": 2, "waiting": 4, "patience": 60.0, "batch": 8, **limits}
    return Models(upstream, Admission(Limits(**told)))


async def test_the_slow_embeddings_of_one_tenant_do_not_hold_the_chat_of_another(hanging):
    made = models()
    await hanging(made, "a", 6)
    assert made.upstream.hanging == 2
    trace = Trace(partition="b:prod")
    async with asyncio.timeout(10):
        call = Call("chat", "e", {"model": "e", "messages": [{"role": "user", "content": "Hi"}]})
        request = Request(Tenant("b", "prod", "k"), call, Prompt("key", "scope", "Hi"), trace)
        said = [event async for event in made.ask(request, call)]
    assert len(said) == 3


@pytest.mark.parametrize("kind", [EMBEDDINGS, MODELS])
async def test_what_is_past_the_bound_and_the_queue_is_refused_with_a_time(hanging, kind):
    made = models(waiting=1)
    await hanging(made, "a", 3, kind)
    with pytest.raises(Overloaded) as refused:
        async with asyncio.timeout(10):
            await asked(made, "a", kind=kind)
    assert refused.value.status == 429
    assert int(refused.value.retry_after) >= 1


async def test_a_relayed_call_has_a_deadline_in_the_queue_and_at_the_upstream(hanging):
    made = models()
    (first, _) = await hanging(made, "a", 2)
    with pytest.raises(DeadlineExceeded):
        async with asyncio.timeout(10):
            await asked(made, "a", 1.0)
    first.cancel()
    late = asyncio.get_running_loop().time() + 3600
    task = asyncio.create_task(asked(made, "a", late))
    for _ in range(5):
        await asyncio.sleep(0)
    assert made.upstream.deadlines[-1] == late
    task.cancel()
    await asyncio.gather(task, first, return_exceptions=True)
    assert made.admission.running == 1
