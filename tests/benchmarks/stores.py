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
def emulator() -> Iterator[dict[str, str]]:
    """The tables and the bucket; gives the environment that leads to them."""
    from tests.support.emulator import running  # which `servers` has made findable

    with tempfile.TemporaryDirectory() as folder, running(Path(folder), environment({})) as reached:
        yield reached
