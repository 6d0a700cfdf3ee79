"""Children of one run: started in order, watched, stopped in the reverse order; none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from subsecond_local.errors import LocalError

PARENT_DEATH = Path(__file__).with_name("parent_death.py")
POLL = 0.05
# Between two lines about the same long wait, in seconds.
PATIENCE_NOTE = 10.0
TAIL_LINES = 15
SAME_REQUEST = 1.0


class StopRequested(Exception):
    """Ctrl-C, SIGTERM or the end of the process that started us."""


class ChildFailed(LocalError):
    """A child ended, or did not get ready."""


class StopFlag:
    """The requests to stop: SIGINT, SIGTERM, and SIGHUP unless it is ignored (nohup).

    A flag and not an exception: an exception out of a signal handler can strike in the middle of the cleaning up.
    """

    def __init__(self, alive: Callable[[], bool] | None = None) -> None:
        """`alive`: whether somebody is there for whom it runs."""
        self.asked_at: float | None = None
        # Asked again, by somebody who is tired of waiting: what has not stopped yet is killed.
        self.hurry = False
        self._alive = alive

    def listen(self) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._count)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._count)

    def check(self) -> None:
        """Raises StopRequested when somebody has."""
        if self.asked_at is not None or (self._alive and not self._alive()):
            raise StopRequested

    def _count(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        now = time.monotonic()
        if self.asked_at is None:
            self.asked_at = now
        # The same request may come as two signals, from the terminal and from make.
        self.hurry = now - self.asked_at > SAME_REQUEST


@dataclass(frozen=True, slots=True)
class Child:
    """One process. `health` is a URL that answers 200 once it is ready. Times in seconds."""

    name: str
    purpose: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    health: str
    ready_within: float = 60.0
    # Between SIGTERM and SIGKILL.
    stops_within: float = 3.0
    # What it gets when its parent is gone: SIGTERM for those that have something to write.
    orphan_signal: signal.Signals = signal.SIGKILL
    # Descriptors that stay open in it.
    keeps: tuple[int, ...] = ()
    # What to do when it cannot start.
    hint: str = ""

    @property
    def title(self) -> str:
        return self.purpose[0].upper() + self.purpose[1:]


@dataclass(frozen=True, slots=True)
class RunningChild:
    child: Child
    process: subprocess.Popen[bytes]
    log: Path


@dataclass(slots=True)
class Supervisor:
    """The running children. Start them from the main thread: Linux ties a child to the thread that made it."""

    logs: Path
    stop: StopFlag
    say: Callable[[str], None]
    suffix: str = ""
    running: list[RunningChild] = field(default_factory=list)

    def start(self, child: Child) -> None:
        """Start it without waiting; its output goes to its log."""
        self.say(f"Starting {child.purpose} ...")
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{child.name}{self.suffix}.log"
        command = die_with_parent(child.command, child.orphan_signal)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=dict(child.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A session of its own: the terminal's Ctrl-C reaches the parent alone, which stops them in order.
                start_new_session=True,
                pass_fds=child.keeps,
            )
        self.running.append(RunningChild(child, process, log))

    def await_ready(self, child: Child) -> None:
        """Return when it answers. ChildFailed when it, or any other child, ends first or the time is up."""
        begun = time.monotonic()
        noted = begun
        while not healthy(child.health):
            self.check()
            now = time.monotonic()
            if now - begun > child.ready_within:
                raise self._failed(self._find(child), f"did not answer within {child.ready_within:.0f} s")
            if now - noted > PATIENCE_NOTE:
                noted = now
                self.say(f"... still waiting for {child.purpose} ({now - begun:.0f} s)")
            time.sleep(POLL)

    def check(self) -> None:
        """Raises StopRequested, or ChildFailed for the first child that has ended."""
        self.stop.check()
        for one in self.running:
            code = one.process.poll()
            if code is not None:
                raise self._failed(one, f"ended unexpectedly ({exit_reason(code)})")

    def watch(self) -> None:
        """Until somebody asks to stop (StopRequested) or a child ends (ChildFailed)."""
        while True:
            self.check()
            time.sleep(4 * POLL)

    def end(self) -> None:
        """Stop all, the last started first. A second request to stop cuts the waiting short."""
        while self.running:
            one = self.running.pop()
            one.process.terminate()
            deadline = time.monotonic() + one.child.stops_within
            while one.process.poll() is None and time.monotonic() < deadline and not self.stop.hurry:
                time.sleep(POLL / 5)
            if one.process.poll() is None:
                self.say(f"{one.child.title} did not stop by itself and was killed.")
                one.process.kill()
                one.process.wait()
            # What it started itself and left: it leads its own group.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(one.process.pid, signal.SIGKILL)

    def _find(self, child: Child) -> RunningChild:
        return next(one for one in self.running if one.child is child)

    def _failed(self, one: RunningChild, what: str) -> ChildFailed:
        hint = f"\n{one.child.hint}" if one.child.hint else ""
        return ChildFailed(f"{one.child.title} {what}. The end of {one.log}:\n{tail(one.log)}{hint}")


def die_with_parent(command: tuple[str, ...], orphan_signal: signal.Signals) -> list[str]:
    """The command, so started that it ends when this process ends."""
    return [sys.executable, "-I", "-S", str(PARENT_DEATH), str(os.getpid()), str(int(orphan_signal)), *command]


def healthy(url: str) -> bool:
    """Whether a GET on a loopback URL answers 200. Straight to the port: a proxy of the environment is not asked."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def exit_reason(code: int) -> str:
    """A return code in words."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def tail(log: Path) -> str:
    with log.open(encoding="utf-8", errors="replace") as lines:
        last = deque(lines, TAIL_LINES)
    return "".join(f"    {line.rstrip()}\n" for line in last).rstrip("\n") or "    (it is empty)"
