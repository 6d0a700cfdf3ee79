"""The load over its phases, and what is seen meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

from tests.soak.mixed.client import REST, Client
from tests.soak.mixed.figures import Memory
from tests.soak.mixed.judge import Judge
from tests.soak.mixed.mix import KINDS
from tests.soak.mixed.scene import Scene
from tests.soak.mixed.tally import Tally
from tests.soak.mixed.weather import Phase
from tests.support.processes import resident

CLIENTS = 16
# Of what is not in order, told after each phase.
SHOWN = 5


class Load:
    """first: the number of the first of its clients, of which no other load may have one: they would ask its new
    questions again. say: is told a line after each phase."""

    def __init__(self, at: Scene, judge: Judge, first: int, say: Callable[[str], None]) -> None:
        self._at, self._judge, self._say = at, judge, say
        self.tally, self.memory = Tally(), Memory()
        self._numbers = range(first, first + CLIENTS)
        self._told = 0, 0

    async def run(self, seconds: float, phases: Sequence[Phase]) -> None:
        """The phases one after the other, each as long as the next. Raises what a client raises."""
        going = [True]
        clients = [Client(self._at.place, number, self._judge, self.tally) for number in self._numbers]
        running = [asyncio.create_task(_kept_busy(client, going)) for client in clients]
        sampling = asyncio.create_task(self._sample())
        for number, phase in enumerate(phases, 1):
            self.tally.turn(phase)
            await self._turn(phase)
            await asyncio.wait(running, timeout=seconds / len(phases), return_when=asyncio.FIRST_EXCEPTION)
            self._say(f"{number}/{len(phases)} {phase}: {self._progress()}")
        going[0] = False
        await asyncio.gather(*running)
        sampling.cancel()

    async def _turn(self, phase: Phase) -> None:
        for service, proxy in self._at.proxies.items():
            await proxy.switch(phase.fault if service == phase.service else "")

    async def _sample(self) -> None:
        begun = monotonic()
        while True:
            self.memory.samples.append((monotonic() - begun, resident(self._at.gateway)))
            await asyncio.sleep(1)

    def _progress(self) -> str:
        asked = sum(self.tally.phases.values())
        wrong, unexcused = self._judge.wrong, self.tally.unexcused
        news = [*wrong[self._told[0] :], *unexcused[self._told[1] :]][:SHOWN]
        self._told = len(wrong), len(unexcused)
        megabytes = resident(self._at.gateway) / 1e6
        told = f"{asked} requests so far, {len(wrong)} wrong, {len(unexcused)} unexcused, {megabytes:.0f} MB"
        return "\n    ".join((told, *news))


async def _kept_busy(client: Client, going: Sequence[bool]) -> None:
    kinds, weights = tuple(KINDS), tuple(KINDS.values())
    while going[0]:
        (kind,) = client.random.choices(kinds, weights)
        await kind(client)
        await asyncio.sleep(client.random.uniform(0, REST))
    client.wire.close()
