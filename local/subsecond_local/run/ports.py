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
                f"PORT={port + 1 if port < HIGHEST else 8000} make run"
            ) from error


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((HOST, 0))
        return [probe.getsockname()[1] for probe in probes]
