"""An event loop whose time passes only when everybody waits: hours pass at once, and a wait for nothing is an error."""

import asyncio
import selectors

# No moment that code could take for "never": monotonic clocks begin anywhere.
BEGINNING = 1_000_000.0


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting it moves the loop's clock on. patience: real seconds that it gives threads before that."""

    def __init__(self, begins, patience):
        super().__init__()
        self.now = begins
        self._patience = patience

    def select(self, timeout=None):
        found = super().select(0) or (super().select(self._patience) if self._patience and timeout != 0 else [])
        if not found:
            if timeout is None:
                raise Stuck
            self.now += max(0.0, timeout)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, begins=BEGINNING, patience=0.0):
        self._clock = _Selector(begins, patience)
        super().__init__(self._clock)

    def time(self):
        return self._clock.now

    def run_in_executor(self, executor, function, *arguments):
        """At once: a thread's time would be no part of this one."""
        done = self.create_future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 -- whoever waits is told
            done.set_exception(error)
        return done


def run(main, *, leaves_tasks=False, begins=BEGINNING, patience=0.0):
    """The coroutine's result. Nothing that it began may be left running, unless `leaves_tasks`. patience: real seconds
    for which time stands still when everybody waits, where some of the work is done in threads."""

    async def watched():
        found = await main
        assert leaves_tasks or asyncio.all_tasks() == {asyncio.current_task()}
        return found

    with asyncio.Runner(loop_factory=lambda: VirtualLoop(begins, patience)) as runner:
        return runner.run(watched())


def now():
    """The time of the loop that runs."""
    return asyncio.get_running_loop().time()
