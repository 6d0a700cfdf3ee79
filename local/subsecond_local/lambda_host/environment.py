"""One execution environment: a process, its own Runtime API, one request at a time."""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from contextlib import suppress
from typing import IO, Protocol

from subsecond_local.lambda_host.core_share import CoreShare
from subsecond_local.lambda_host.function import Function
from subsecond_local.lambda_host.invocation import FunctionError, Invocation
from subsecond_local.lambda_host.runtime_api import RuntimeConnection
from subsecond_local.lambda_host.wire import Listener
from subsecond_local.run.children import die_with_parent

log = logging.getLogger("subsecond.lambda")

# Seconds for a slow client to take what a dead environment has left behind.
DRAIN = 1.0

# Where the functions' output goes; None inherits the host's.
Output = int | IO[bytes] | None


class State(enum.Enum):
    STARTING = enum.auto()
    IDLE = enum.auto()
    BUSY = enum.auto()
    # The response is complete, but the runtime has not asked for the next event yet.
    FINISHING = enum.auto()
    GONE = enum.auto()


class Owner(Protocol):
    """The pool, as an environment sees it."""

    def ready(self, environment: Environment) -> None:
        """It waits for an event."""

    def gone(self, environment: Environment, error: FunctionError | None) -> None:
        """Its process has ended; `error` when it never became ready."""


class Environment:
    """Made by a pool, which calls `start` once, then `run` whenever it was told that the environment is ready."""

    def __init__(self, function: Function, number: int, output: Output, owner: Owner) -> None:
        self.state = State.STARTING
        self._function = function
        self._name = f"{function.name}/{number}"
        self._output = output
        self._owner = owner
        self._api = Listener(lambda: RuntimeConnection(self))
        self._process: Process | None = None
        self._share: CoreShare | None = None
        self._next: RuntimeConnection | None = None
        self._invocation: Invocation | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._failure: FunctionError | None = None
        self._stopped = False

    async def start(self) -> None:
        """Start the process and stay until it has ended."""
        self._alarm = asyncio.get_running_loop().call_later(self._function.initialisation, self._init_timed_out)
        try:
            await self._api.open()
            self._process = await self._spawn()
            if self._function.core_share:
                self._share = CoreShare(self._process.pid, self._function.core_share)
        except OSError as error:
            self._exited(f"cannot be started: {error}")
            return
        if self._stopped:
            self.stop()
        code = await self._process.wait()
        # The news of its end may overtake what it had still sent.
        await self._api.drained(DRAIN)
        self._exited(f"Runtime exited with status {code}")

    async def run(self, invocation: Invocation) -> FunctionError | None:
        """Hand the event to the runtime and wait for the response's end; what went wrong, if something did."""
        if self._next is None or self.state is State.GONE:
            return FunctionError.of("Runtime.ExitError", "the environment died", cut=True)
        timeout = self._function.timeout
        self._invocation, connection, self._next = invocation, self._next, None
        self._alarm = asyncio.get_running_loop().call_later(timeout, self._timed_out)
        if self._function.freeze:
            self._signal(signal.SIGCONT)
        if self._share:
            self._share.hold()
        connection.deliver(invocation, self._function.arn, int((time.time() + timeout) * 1000))
        error = await invocation.done
        if self.state is State.BUSY and self._next is None:
            self.state = State.FINISHING
        return error

    def stop(self) -> None:
        """Kill it; `start` returns when it is gone."""
        self._stopped = True
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        if self._function.freeze:
            self._signal(signal.SIGSTOP)

    # The Runtime API's side

    def asked_next(self, connection: RuntimeConnection) -> None:
        self._disarm()
        if self._share:
            self._share.let_go()
        self._invocation = None
        self._next = connection
        self.state = State.IDLE
        self._owner.ready(self)

    def running(self, invocation_id: str, proof: str | None) -> Invocation | None:
        invocation = self._invocation
        if invocation is None or invocation.id != invocation_id or invocation.done.done():
            return None
        return invocation if proof in (None, invocation.proof) else None

    def failed_to_start(self, error: FunctionError) -> None:
        self._failure = error

    # Ends

    def _timed_out(self) -> None:
        message = f"Task timed out after {self._function.timeout:.2f} seconds"
        log.error("%s: %s", self._name, message)
        if self._invocation is not None:
            self._invocation.end(FunctionError.of("Sandbox.Timedout", message, cut=True))
        self.stop()

    def _init_timed_out(self) -> None:
        self._failure = FunctionError.of("Sandbox.Timedout", "the initialisation took too long")
        self.stop()

    def _exited(self, how: str) -> None:
        self._disarm()
        if self._share:
            self._share.let_go()
        error = self._failure or FunctionError.of("Runtime.ExitError", how, cut=True)
        if self.state in (State.STARTING, State.BUSY):
            log.error("%s: %s", self._name, how)
        if self._invocation is not None:
            self._invocation.end(error)
        never_ready = self.state is State.STARTING
        self.state = State.GONE
        self._api.close()
        self._owner.gone(self, error if never_ready else None)

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    async def _spawn(self) -> Process:
        """On the leash, because a frozen or busy process would not notice that its host has died; in a session of its
        own, so that Ctrl-C reaches the host alone.
        """
        function = self._function
        return await asyncio.create_subprocess_exec(
            *die_with_parent(tuple(function.command()), signal.SIGKILL),
            env=function.variables(self._api.address, self._name),
            cwd=function.directory,
            stdin=DEVNULL,
            stdout=self._output,
            stderr=None if self._output is None else STDOUT,
            start_new_session=True,
        )

    def _signal(self, what: signal.Signals) -> None:
        """To the whole group, unless it is gone."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, what)
