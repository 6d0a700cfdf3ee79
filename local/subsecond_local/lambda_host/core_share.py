"""A share of a core for one environment, as AWS gives it with memory: 1769 MB are a core, so 1 GB is 0.58 of one.

Linux's bandwidth control rebuilt outside of the kernel, because a control group wants rights that a laptop's user has
not: in each period of 20 ms the process may run for its share of the period, on its own processor clock. Once that is
used it is stopped until the next period. So short work is never slowed, and long work takes 1 / share times as long.
Linux only: elsewhere nobody may read another process's clock.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress

# Seconds. Lambda's own period, by what is seen of its throttling from inside.
PERIOD = 0.02
# Seconds between two looks, at the least: a look costs 10 us, and the host shares the machine.
LOOK = 0.001
# The processor clock of all threads of a process (`man clock_getcpuclockid`).
_SCHEDULED = 2


def cpu_time(pid: int) -> float:
    """Seconds of processor time that the process has used, in nanosecond steps. OSError when it is gone."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


class CoreShare:
    """`hold` lets the process run for `share` of the time until `let_go`."""

    def __init__(self, pid: int, share: float) -> None:
        self._pid = pid
        self._quota = share * PERIOD
        self._task: asyncio.Task[None] | None = None

    def hold(self) -> None:
        self._task = self._task or asyncio.create_task(self._hold())

    def let_go(self) -> None:
        """The process runs freely."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._signal(signal.SIGCONT)

    async def _hold(self) -> None:
        loop = asyncio.get_running_loop()
        left = 0.0
        with suppress(OSError):
            while True:
                # What was used too much is paid back; what was left over is not saved up.
                left = min(0.0, left) + self._quota
                ends, used = loop.time() + PERIOD, cpu_time(self._pid)
                while left > 0 and (rest := ends - loop.time()) > 0:
                    await asyncio.sleep(min(rest, max(left, LOOK)))
                    now = cpu_time(self._pid)
                    left, used = left - (now - used), now
                if (rest := ends - loop.time()) > 0:
                    self._signal(signal.SIGSTOP)
                    await asyncio.sleep(rest)
                    self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, what)
