"""`subsecond verify` against the real app on a socket; the account alone is in memory."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace

import pytest

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond_local.verify import order
from subsecond_local.verify.https import Https
from subsecond_local.verify.ports import Question, Refused, Stack
from subsecond_local.verify.run import Run
from tests.support.http import listening
from tests.support.verify import OUTPUTS, PARAMETERS, MemoryAccount

KEY = "sk-ss-of-a-test"
WITHOUT_LOGS = {name: value for name, value in OUTPUTS.items() if not name.endswith("LogGroup")}
# What an account in memory cannot answer: an item of a table that there is not, its groups of logs, its snapshot.
UNKNOWN = {"missing object", "log groups", "alarms", "SnapStart"}


class OneKey(MemoryAccount):
    """The key is the one that the app was told."""

    def create_key(self, name, tenant, namespace):
        self.keys[KEY] = (tenant, namespace)
        return KEY


def held_back(app):
    """The app behind something that keeps an answer until it is whole."""

    async def wrapped(scope, receive, send):
        kept = []

        async def keep(message):
            kept.append(message)

        await app(scope, receive, keep if scope["type"] == "http" else send)
        for message in kept:
            await send(message)

    return wrapped


async def verified(app, model, account):
    async with listening(app) as base:
        with ExitStack() as closing:
            faces = {name: Https(f"{base}/v1") for name in ("streaming", "completion", "statistics")}
            for one in faces.values():
                closing.callback(one.close)
            stack = Stack("demo", "local", "CREATE_COMPLETE", PARAMETERS, WITHOUT_LOGS)
            run = Run(stack, account, faces, model, patience=10.0)
            return await asyncio.to_thread(order.verify, run, lambda _: None)


@pytest.fixture
def app(settings):
    """With the default policy: `guarded` must take the reworded question for the same."""
    return create_app(gateway(replace(settings, semantic="guarded", api_key=KEY)))


async def test_a_gateway_that_does_what_it_should_passes(app):
    account = OneKey(denied=("point_at_nothing", "log_groups"))
    found = await verified(app, "sim-t20-i5-n24", account)
    assert {name: one.said for name, one in found.items() if one.state == "failed"} == {}
    assert {name for name, one in found.items() if one.state == "not run"} == UNKNOWN
    assert found["stream"].figures["events"] > found["stream"].figures["arrivals"] / 2
    assert account.keys == {}


async def test_a_stream_that_something_holds_back_is_seen(app):
    found = await verified(held_back(app), "sim-t20-i5-n24", OneKey(denied=("point_at_nothing", "log_groups")))
    assert (found["answer"].state, found["stream"].state) == ("passed", "failed")
    assert found["exact hit"].state == "passed"


def test_an_address_where_nobody_listens_is_refused_in_words():
    one = Https("http://127.0.0.1:9")
    with pytest.raises(Refused, match="ConnectError"):
        one.ask(Question("GET", "/health"))
    one.close()
