"""What a mixed soak runs: `subsecond run` with a proxy before each service, and what its gateway's process holds."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from subsecond.config import Settings
from subsecond.setting_values import PREFIX
from subsecond_local.cli.key_admin import KeyTable
from subsecond_local.run.stores import stores_from_env
from tests.soak.mixed import counted, weather
from tests.soak.mixed.client import Place
from tests.soak.mixed.wire import Wire, request
from tests.support.emulator import running
from tests.support.fault_proxy import FaultProxy
from tests.support.processes import descriptors, member, resident, running_stack, threads
from tests.support.simulator import SimulatorProcess

KEY = "sk-soak-upstream"
LIMITS = ("store_timeout", "lease_timeout", "loading_timeout")
SETTINGS = {
    "MODE": "app",
    "STORES": "aws",
    "UPSTREAM": "openai",
    "SUBSECOND_UPSTREAM_KIND": "simulator",
    # A machine that stands still for a moment shall not look like a model that does.
    "SUBSECOND_FIRST_TOKEN_TIMEOUT": "5",
    "SUBSECOND_IDLE_TIMEOUT": "5",
    "SUBSECOND_TOTAL_TIMEOUT": "15",
    # A busy machine shall still look for neighbours.
    "SUBSECOND_SEMANTIC_TIMEOUT": "0.2",
    # What stores, leases and loading may take is the gateway's own limit here, and no test's.
    **{f"{PREFIX}{limit.upper()}": str(getattr(Settings(), limit)) for limit in LIMITS},
    # Full within a minute: the caches themselves shall not look like a leak.
    "SUBSECOND_MEMORY_BYTES": "1000000",
    "SUBSECOND_INDEX_BYTES": "400000",
    "SUBSECOND_EMBEDDINGS_BYTES": "100000",
}
# The command line's `run`, with another factory of the app.
RUN = f"""
import os, sys
from pathlib import Path
from subsecond_local.run.runner import run
sys.exit(run(os.environ, Path(sys.argv[1]), dies_with_parent=True, app="{counted.__name__}:create_app"))
"""
# Connections to a service are kept: as many as boto3's pool, and the upstream's, may have.
POOLS = {"dynamodb": 8, "s3": 8, "upstream": 256}


@dataclass(frozen=True)
class Held:
    """What the gateway's process holds while nobody asks. objects: those that Python's collector knows, and how many of
    each type. caches: how many entries each has, and the most that it may have."""

    tasks: dict[str, int]
    descriptors: dict[str, int]
    threads: int
    objects: int
    kinds: dict[str, int]
    caches: dict[str, tuple[int, int | None]]
    resident: int

    def more_than(self, before: Held) -> dict[str, int]:
        """Tasks, and descriptors past the pools, that were not there before."""
        tasks = {name: number for name, number in self.tasks.items() if number > before.tasks.get(name, 0)}
        bounds = {**before.descriptors, **POOLS}
        left = {name: number for name, number in self.descriptors.items() if number > bounds.get(name, 0)}
        return tasks | left


@dataclass(frozen=True)
class Scene:
    """The run, the proxies before its services, its gateway's process, and the folder of all its files."""

    place: Place
    proxies: Mapping[str, FaultProxy]
    gateway: int
    data: Path

    async def held(self) -> Held:
        """Asked on a connection that is closed again before the descriptors are counted."""
        wire = Wire(self.place.port)
        await wire.send(request(self.place.port, "", path=counted.PATH))
        told = json.loads((await wire.read()).body)
        wire.close()
        await asyncio.sleep(0.2)
        return Held(**told, descriptors=self._open(), threads=threads(self.gateway), resident=resident(self.gateway))

    async def calm_again(self, before: Held | None, seconds: float) -> Held:
        """Once it holds no more than before (None: no client), or the time for that is up."""
        held = await self.held()
        for _ in range(int(seconds)):
            if not (held.more_than(before) if before else "clients" in held.descriptors):
                break
            await asyncio.sleep(1)
            held = await self.held()
        return held

    def log(self) -> str:
        """All that the gateway has said."""
        (found,) = (self.data / "logs").glob("gateway-*.log")
        return found.read_text()

    def _open(self) -> dict[str, int]:
        names = {str(proxy.port): service for service, proxy in self.proxies.items()}
        named: dict[str, int] = {}
        for end, number in sorted(descriptors(self.gateway).items()):
            name = names.get(end, "clients" if end.isdecimal() else Path(end).name)
            named[name] = named.get(name, 0) + number
        return named


@asynccontextmanager
async def scene(data: Path) -> AsyncIterator[Scene]:
    """Everything, with a key for each of two tenants."""
    (data / "emulator").mkdir()
    with SimulatorProcess(key=KEY) as simulator, running(data / "emulator", dict(os.environ)) as access:
        upstream, stores = _port(simulator.url), _port(access["AWS_ENDPOINT_URL"])
        async with AsyncExitStack() as opened:
            made = weather.proxies({"dynamodb": stores, "s3": stores, "upstream": upstream})
            proxies = {service: await opened.enter_async_context(proxy) for service, proxy in made.items()}
            run = running_stack(data, (sys.executable, "-c", RUN, str(data)), _environment(access, proxies))
            # In a thread: what it starts asks through the proxies, which live in this loop.
            it = await asyncio.to_thread(run.__enter__)
            try:
                place = Place(it.port, _keys(access), (upstream, KEY))
                yield Scene(place, proxies, member(it.pid, "uvicorn"), data)
            finally:
                await asyncio.to_thread(run.__exit__, None, None, None)


def _environment(access: Mapping[str, str], proxies: Mapping[str, FaultProxy]) -> dict[str, str]:
    urls = {service: f"http://127.0.0.1:{proxy.port}" for service, proxy in proxies.items()}
    stores = {f"AWS_ENDPOINT_URL_{service.upper()}": urls[service] for service in ("dynamodb", "s3")}
    upstream = {"OPENAI_BASE_URL": f"{urls['upstream']}/v1", "OPENAI_API_KEY": KEY}
    return {**SETTINGS, **access, **stores, **upstream, "PYTHONPATH": str(Path(__file__).parents[3])}


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _keys(access: Mapping[str, str]) -> dict[str, str]:
    stores = stores_from_env({}, access["AWS_ENDPOINT_URL"], emulated=True)
    table = KeyTable(stores.dynamodb(), stores.state_table)
    return {tenant: table.create(tenant, tenant, "default")[0] for tenant in ("acme", "zenith")}
