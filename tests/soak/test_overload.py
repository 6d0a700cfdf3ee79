"""Twice as many requests as the upstream can answer: it goes on answering as many as it can, and memory stays flat."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections import Counter
from contextlib import aclosing
from itertools import count
from pathlib import Path
from time import monotonic

import pytest

from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.errors import Overloaded
from subsecond.model import Call, Tenant
from subsecond.stats.trace import Trace
from tests.support.simulator import SimulatorProcess

# Ten answers at a time, half a second each: about 20 a second, so that the CPU is not the limit.
SLOTS = 10
MODEL = "sim-t450-i10-n6"
CAPACITY = SLOTS / 0.5
SECONDS = 20
MEGABYTE = 1_000_000

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


class Load:
    """Counts how requests end."""

    def __init__(self, made):
        self.made = made
        self.ends = Counter()
        self.numbers = count()

    async def ask(self):
        text = f"Question {next(self.numbers)}?"
        call = Call("chat", MODEL, {"messages": [{"role": "user", "content": text}]})
        tenant = Tenant("a" if next(self.numbers) % 4 else "b", "n", "k")
        try:
            async with aclosing(self.made.complete(tenant, call, Trace())) as events:
                async for _ in events:
                    pass
        except Overloaded:
            self.ends["shed"] += 1
        else:
            self.ends["answered"] += 1

    async def closed_loop(self, clients, seconds):
        end = monotonic() + seconds

        async def client():
            while monotonic() < end:
                await self.ask()

        await asyncio.gather(*(client() for _ in range(clients)))

    async def open_loop(self, rate, seconds):
        """Requests come at `rate` a second, whether earlier ones have ended or not."""
        begun = monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(begun + number / rate - monotonic())
                group.create_task(self.ask())


def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_at_twice_the_capacity_the_goodput_stays_and_the_rest_is_shed(capsys):
    with SimulatorProcess(slots=SLOTS) as upstream:
        made = gateway(
            Settings(upstream_url=upstream.base_url, model_calls=SLOTS, waiting_calls=SLOTS, memory_bytes=20_000)
        )
        calm, stormy = Load(made), Load(made)
        await calm.closed_loop(SLOTS, SECONDS)
        before = resident()
        await stormy.open_loop(2 * CAPACITY, SECONDS)
        grown = resident() - before
        with capsys.disabled():
            print(
                f"\n{SECONDS} s: closed loop {dict(calm.ends)}, twice the capacity {dict(stormy.ends)}, +{grown} bytes"
            )
        assert stormy.ends["answered"] >= 0.9 * calm.ends["answered"]
        assert stormy.ends["answered"] + stormy.ends["shed"] == 2 * CAPACITY * SECONDS
        assert upstream.stats()["aborted"] == 0
        assert grown < 5 * MEGABYTE
        await made.models.upstream.aclose()
