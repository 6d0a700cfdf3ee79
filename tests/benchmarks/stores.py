"""ministack for the targets that keep their answers in DynamoDB."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from servers import environment

from subsecond_local.emulator.aws_emulator import access, create_stores, lock_state, ministack
from subsecond_local.run.children import StopFlag, Supervisor
from subsecond_local.run.ports import HOST, free_ports
from subsecond_local.run.stores import readable_errors, stores_from_env

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def emulator() -> Iterator[dict[str, str]]:
    """The tables and the bucket; gives the environment that leads to them."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        (port,) = free_ports(1)
        lock = lock_state(data)
        supervisor = Supervisor(data / "logs", StopFlag(), lambda _text: None)
        try:
            child = ministack(port, data, environment({}), lock)
            supervisor.start(child)
            supervisor.await_ready(child)
            reached = access(port)
            stores = stores_from_env(reached, f"http://{HOST}:{port}", emulated=True)
            with readable_errors(stores):
                create_stores(stores)
            yield reached
        finally:
            supervisor.end()
            os.close(lock)
