"""The command `subsecond`. Loading its commands takes most of a second, in which Ctrl-C is no fault to be shown."""

from __future__ import annotations

import os
import sys

# As a shell has it of what SIGINT ended, and SIGPIPE.
INTERRUPTED = 130
UNREAD = 141


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0, 1 for a failure, 2 for wrong arguments, 130 after Ctrl-C, 141 where the reader has left."""
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `| head` has seen enough. What is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _run(argv: list[str] | None) -> int:
    """With all that it prints out: that nobody reads it is told here, and not at Python's end."""
    from subsecond_local.cli import commands  # where Ctrl-C is heard

    code = commands.run(argv)
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
