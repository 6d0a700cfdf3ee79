"""The gateway on a real socket, and the tables in a process of their own."""

from __future__ import annotations

import asyncio
import os
from functools import partial

import pytest

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from tests.support.emulator import running
from tests.support.http import PATIENCE, Client, listening


async def watched(made, number):
    """Polls: a flight tells nobody who has joined it."""
    async with asyncio.timeout(PATIENCE):
        while sum(len(flight._watchers) for flight in made.sharing.flights._aloft.values()) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def served(settings):
    """`client = await served(settings?)`: the gateway with these settings on a socket. `await client.watched(3)`: until
    so many listen to its calls in flight, which nobody can see from outside."""
    open_contexts = []

    async def serve(chosen=settings, **parts):
        made = parts.get("gateway") or gateway(chosen)
        context = listening(create_app(made))
        client = Client(await context.__aenter__(), chosen.api_key)
        client.watched = partial(watched, made)
        open_contexts.append((context, client))
        return client

    yield serve
    for context, client in reversed(open_contexts):
        await client.http.aclose()
        await context.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """ministack with the stores, for what moto cannot: several at once. Gives the environment that leads to it."""
    with running(tmp_path_factory.mktemp("ministack"), dict(os.environ)) as environ:
        yield environ
