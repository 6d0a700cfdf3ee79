"""On Lambda a response ends before what is written after it; in a plain process it ends after that."""

import asyncio
import json
from dataclasses import replace

import pytest

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond.stores.memory.answers import MemoryStore
from tests.conftest import KEY


class Held(MemoryStore):
    """It stores when it is let."""

    def __init__(self):
        super().__init__(1 << 20)
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def put(self, entry):
        self.asked.set()
        await self.let.wait()
        return await super().put(entry)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("function", [False, True])
async def test_the_end_of_a_response_waits_for_the_store_in_a_plain_process_alone(settings, streamed, function):
    held = Held()
    app = create_app(replace(gateway(replace(settings, semantic="off")), exact=held), bare=True)
    body = {"model": "sim-t0-i0-n8", "stream": streamed, "messages": [{"role": "user", "content": "Hi"}]}
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "extensions": {}}
    scope["headers"] = [(b"authorization", f"Bearer {KEY}".encode())]
    scope |= {"aws.context": None} if function else {}
    received, sent = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}], []

    async def receive():
        return received.pop() if received else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    answering = asyncio.create_task(app(scope, receive, send))
    await held.asked.wait()
    assert sent[-1]["more_body"] is not function
    assert sent[-1]["body"]
    held.let.set()
    await answering
    assert [message["more_body"] for message in sent[1:]].count(False) == 1
    assert sent[-1]["more_body"] is False
