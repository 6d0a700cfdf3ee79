"""The command `subsecond`. Loading its commands takes most of a second, in which Ctrl-C is no fault to be shown."""

from __future__ import annotations

import sys

# As a shell has it of what SIGINT ended.
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0, 1 for a failure, 2 for wrong arguments, 130 after Ctrl-C."""
    try:
        from subsecond_local.cli import commands  # inside the `try`

        return commands.run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
