"""Run a command that ends when the process that started it ends, however that one ends: SIGKILL included.

    python -I -S parent_death.py PARENT SIGNAL COMMAND...

PARENT is the starter's process id, SIGNAL what the command gets when the starter is gone. It is a file of its own, run
by path, so that it costs a bare interpreter (15 ms) and nothing of ours is imported. It turns into the command, which
keeps the process id: a function between fork and exec would do the same, but is unsafe beside threads.
"""

from __future__ import annotations

import os
import sys
import time

PR_SET_PDEATHSIG = 1  # prctl(2)


def main(argv: list[str]) -> None:
    parent, signum, command = int(argv[0]), int(argv[1]), argv[2:]
    if sys.platform == "linux":
        request_death_signal(signum)
    else:
        watch(parent, signum)
    # The starter may have gone before the kernel was asked.
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 (the command is the caller's)


def request_death_signal(signum: int) -> None:
    """Ask Linux to send `signum` when the starting *thread* ends: children are started from the main thread only."""
    import ctypes  # Linux alone needs it

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def watch(parent: int, signum: int) -> None:
    """Elsewhere: a second process looks every 0.5 s whether the starter is there; the command's own returns."""
    command = os.getpid()
    if os.fork():
        return
    while os.getppid() == command:
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            os.kill(command, signum)
            break
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
