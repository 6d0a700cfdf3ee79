"""An event loop whose time passes only when everybody waits: hours pass at once, and a wait for nothing is an error."""

import asyncio
import selectors

# No moment that code could take for "never": monotonic clocks begin anywhere.
BEGINNING = 1_000_000.0


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting it moves the loop's clock on."""

    def __init__(self, begins):
        super().__init__()
        self.now = begins

    def select(self, timeout=None):
        found = super().select(0)
        if not found:
            if timeout is None:
                raise Stuck
            self.now += max(0.0, timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, begins=BEGINNING):
        self._clock = _Selector(begins)
        super().__init__(self._clock)

    def time(self):
        return self._clock.now


def run(main, *, leaves_tasks=False, begins=BEGINNING):
    """The coroutine's result. Nothing that it began may be left running, unless `leaves_tasks`."""

    async def watched():
        found = await main
        assert leaves_tasks or asyncio.all_tasks() == {asyncio.current_task()}
        return found

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(begins)) as runner:
        return runner.run(watched())


def now():
    """The time of the loop that runs."""
    return asyncio.get_running_loop().time()
