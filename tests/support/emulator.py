"""ministack with the gateway's tables and bucket, for what moto cannot: several processes, and writes at once."""

import os
from contextlib import contextmanager

from subsecond_local.emulator.aws_emulator import access, create_stores, lock_state, ministack
from subsecond_local.run.children import StopFlag, Supervisor
from subsecond_local.run.ports import HOST, free_ports
from subsecond_local.run.stores import readable_errors, stores_from_env


@contextmanager
def running(data, environ):
    """ministack with its state in the folder `data`, until the block ends; gives the environment that leads to it."""
    (port,) = free_ports(1)
    lock, stop = lock_state(data), StopFlag()
    supervisor = Supervisor(data / "logs", stop, lambda _text: None)
    try:
        child = ministack(port, data, environ, lock)
        supervisor.start(child)
        supervisor.await_ready(child)
        stores = stores_from_env({}, f"http://{HOST}:{port}", emulated=True)
        with readable_errors(stores):
            create_stores(stores)
        yield access(port)
    finally:
        # Nobody reads its state again: it is killed instead of waited for.
        stop.hurry = True
        supervisor.end()
        os.close(lock)
