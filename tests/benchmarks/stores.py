"""ministack for the targets that keep their answers in DynamoDB."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from servers import environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def emulator(delays: str = "") -> Iterator[dict[str, str]]:
    """The tables and the bucket; gives the environment that leads to them. delays: as SUBSECOND_LOCAL_DELAYS."""
    from tests.support.emulator import running  # which `servers` has made findable

    told = {"SUBSECOND_LOCAL_DELAYS": delays} if delays else {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), environment(told)) as reached:
        yield reached
