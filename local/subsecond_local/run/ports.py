"""Ports of this machine. Nothing of ours listens on any other address than the loopback one."""

from __future__ import annotations

import socket
from argparse import ArgumentTypeError
from contextlib import ExitStack

from subsecond_local.errors import LocalError

HOST = "127.0.0.1"
HIGHEST = 65535


def port_number(text: str) -> int:
    """For argparse."""
    if not text.isdecimal() or int(text) > HIGHEST:
        raise ArgumentTypeError(f"{text!r} is not a port: give a number up to {HIGHEST}")
    return int(text)


def count(text: str) -> int:
    """For argparse: a whole number from 0 on."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def check_port(port: int) -> None:
    """LocalError when nothing more could listen there."""
    with socket.socket() as probe:
        # As servers do: a connection that has just been closed does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LocalError(
                f"Port {port} cannot be used ({error.strerror}). Stop what listens there, or choose another port: "
                f"PORT={port + 1 if port < HIGHEST else 8000}"
            ) from error


def free_ports(count: int) -> list[int]:
    """Ports that are free, all different; for a minute the kernel gives them to nobody who asks for any port, only to
    who names them. Without that a server or a client that starts meanwhile may get one of them."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        for probe in probes:
            _linger(probe)
        return [probe.getsockname()[1] for probe in probes]


def _linger(listener: socket.socket) -> None:
    """A connection that the listener's side closes first stays there in TIME_WAIT: it keeps the port from being chosen,
    and not from being named by a server, which reuses addresses."""
    with socket.create_connection(listener.getsockname()), listener.accept()[0]:
        pass
