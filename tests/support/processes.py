"""Processes that tests start: whether they listen, where, and `subsecond run` as a whole."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path


def listens(port: int, process: subprocess.Popen, seconds: float = 60.0) -> bool:
    """Waits until something listens on the port; False when the process has ended, or the time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


@dataclass(frozen=True)
class Stack:
    """`subsecond run`, ready. `data`: its folder; `port`: the gateway's; `mode`: as it says itself."""

    data: Path
    pid: int
    port: int
    key: str
    mode: str

    def listening(self) -> list[int]:
        """Every TCP port on which a process of this run listens, as Linux knows them."""
        return sorted({found for pid in _family(self.pid) for found in _listening(pid)})

    def chat(self, text: str = "Hello?") -> tuple[int, str]:
        """The status of one answer, and its `cache-status`."""
        body = json.dumps({"model": "sim-t0-i0-n8", "messages": [{"role": "user", "content": text}]})
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {self.key}"})
            response = connection.getresponse()
            response.read()
            return response.status, response.headers.get("cache-status", "")
        finally:
            connection.close()


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))


def _listening(pid: int) -> Iterator[int]:
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):  # it may be closed by now
            held.add(str(descriptor.readlink()))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in held:
                yield int(local.rpartition(":")[2], 16)
