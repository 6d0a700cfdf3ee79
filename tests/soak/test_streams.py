"""Two minutes of streams through the real functions: nothing fails, and nothing grows.

32 clients on 8 environments: 8 of them stream, 24 wait for an environment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

import pytest

from subsecond_local.lambda_host import LambdaHost
from subsecond_local.run.lambda_gateway import ROUTES, functions
from tests.support.simulator import SimulatorProcess

SECONDS = 120
# Until here imports, pools and caches fill; what grows later is a leak.
WARM_UP = 30
CLIENTS = 32
ENVIRONMENTS = 8
TOKENS = 64
MODEL = f"sim-t100-i10-n{TOKENS}"
KEY = "sk-soak"
MEGABYTE = 1_000_000
# An allocator that has not settled yet. A hundred streams pass through each environment meanwhile.
GROWTH = 2 * MEGABYTE
RESIDENT = 150 * MEGABYTE
PAGE = os.sysconf("SC_PAGE_SIZE")

# The streaming function, and an event that makes it tell what it holds. Tasks are seen from inside alone.
COUNTED = """
import asyncio, gc, os
from app import handler as serve, serve as streaming

def handler(event, context):
    if event != {"soak": True}:
        return serve(event, context)
    gc.collect()
    return {"pid": os.getpid(), "tasks": len(asyncio.all_tasks(streaming.loop))}
"""

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


@dataclass(frozen=True)
class Held:
    """What a process holds. resident: bytes."""

    tasks: int
    descriptors: int
    threads: int
    resident: int


def held(pid, tasks):
    at = Path(f"/proc/{pid}")
    pages = int((at / "statm").read_text().split()[1])
    return Held(tasks, len(list((at / "fd").iterdir())), len(list((at / "task").iterdir())), pages * PAGE)


@dataclass
class Tally:
    """The streams that are through, and the most that were in work at once."""

    streams: int = 0
    running: int = 0
    most: int = 0
    faults: list[str] = field(default_factory=list)


@pytest.fixture
def deployed(tmp_path):
    """The project's functions as `MODE=lambda` serves them; the streaming one tells what it holds."""
    (tmp_path / "counted.py").write_text(COUNTED)
    with SimulatorProcess(key=KEY) as upstream, (tmp_path / "output").open("wb") as output:
        environ = {
            "SUBSECOND_API_KEY": KEY,
            "SUBSECOND_UPSTREAM_URL": upstream.base_url,
            "SUBSECOND_UPSTREAM_KEY": KEY,
            # Full after a few answers: the cache itself shall not look like a leak.
            "SUBSECOND_MEMORY_BYTES": "20000",
        }
        made = functions(environ)
        [streaming] = [function for function in made if function.name == "streaming"]
        layers, changed = (streaming.directory,), {"maximum": ENVIRONMENTS, "minimum": ENVIRONMENTS}
        counted = replace(streaming, directory=tmp_path, layers=layers, handler="counted.handler", **changed)
        yield LambdaHost([*(one for one in made if one is not streaming), counted], ROUTES, output=output), upstream


async def measure(host):
    """What every environment holds, by process, and this process: the host and its clients."""
    results = await asyncio.gather(*(host.invoke("streaming", {"soak": True}) for _ in range(ENVIRONMENTS)))
    told = [json.loads(result.payload) for result in results]
    gc.collect()
    # The invocations' last answers are written and read.
    await asyncio.sleep(0.2)
    found = {one["pid"]: held(one["pid"], one["tasks"]) for one in told}
    assert len(found) == host.environments("streaming") == ENVIRONMENTS
    return {**found, "host": held(os.getpid(), len(asyncio.all_tasks()))}


async def ask(host, text, tally):
    """One stream on a connection of its own, read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(host.url.rpartition(":")[2]))
    with closing(writer):
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": text}]}
        raw = json.dumps(body).encode()
        head = ("POST /v1/chat/completions HTTP/1.1", "host: localhost", f"authorization: Bearer {KEY}")
        lines = (*head, "connection: close", f"content-length: {len(raw)}", "\r\n")
        writer.write("\r\n".join(lines).encode() + raw)
        status = await reader.readline()
        tally.running += 1
        tally.most = max(tally.most, tally.running)
        answer = await reader.read()
        tally.running -= 1
    await writer.wait_closed()
    # The chunks' own lines lie between the events, so the end of the transfer is seen too.
    whole = answer.count(b'"content":') - 1 == TOKENS and answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    if status.split()[1:2] != [b"200"] or not whole:
        tally.faults.append(f"{status!r} {answer[-300:]!r}")
    tally.streams += 1


async def load(host, seconds, tally, name):
    """All clients, each asking again as soon as it has its answer."""
    end = monotonic() + seconds

    async def client(number):
        asked = 0
        while monotonic() < end:
            asked += 1
            await ask(host, f"{name} {number} {asked}", tally)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


async def test_two_minutes_of_streams_leave_nothing_behind(deployed, tmp_path, capsys):
    host, upstream = deployed
    tally = Tally()
    async with host:
        await load(host, WARM_UP, tally, "warm")
        before = await measure(host)
        await load(host, SECONDS - WARM_UP, tally, "soak")
        after = await measure(host)
    with capsys.disabled():
        print(f"\n{tally.streams} streams, at most {tally.most} at once")
        for name, was in before.items():
            print(f"{name}: {was} -> {after[name]}")
    assert tally.faults == []
    # Metrics are printed apart from their line's end, so those of two environments may share a line.
    lines = (tmp_path / "output").read_text().replace("}{", "}\n{").split("\n")
    lines = [json.loads(line) for line in lines if line]
    assert [line for line in lines if "_aws" not in line and line["message"] != "request"] == []
    assert tally.most == ENVIRONMENTS
    stats = upstream.stats()
    assert (stats["completed"], stats["running"]) == (tally.streams, 0)
    assert before.keys() == after.keys()
    for name, was in before.items():
        now = after[name]
        assert (now.tasks, now.descriptors, now.threads) == (was.tasks, was.descriptors, was.threads), name
        assert now.resident - was.resident < GROWTH, name
        assert name == "host" or now.resident < RESIDENT
