"""Processes that tests start: whether they listen, where, and `subsecond run` as a whole."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from subsecond.setting_values import PREFIX

# A busy machine is no reason for a miss, or for a word in the log: what a process that tests start is told beside the
# rest. By default a look for similar questions may take 25 ms, a call to the leases 250, one to a store a second.
UNHURRIED = {f"{PREFIX}{box}_TIMEOUT": "20" for box in ("SEMANTIC", "LOADING", "LEASE", "STORE")}


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
        return sorted({found for pid in family(self.pid) for found in _listening(pid)})

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


@contextmanager
def running_stack(data: Path, command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Stack]:
    """What the command runs, once it says that it is ready; on free ports, with the simulator unless told otherwise."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "OPENAI_", "AWS_"))}
    told = {**kept, **UNHURRIED, "PORT": "0", "UPSTREAM": "simulator", **environ}
    with (
        (data / "said").open("w+") as said,
        subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=said, text=True) as process,
    ):
        try:
            found = re.search(r":(\d+)/v1  key: (\S+)  .* mode: (\w+)", process.stdout.readline())
            assert found, (data / "said").read_text()
            yield Stack(data, process.pid, int(found[1]), found[2], found[3])
        finally:
            process.terminate()
            process.communicate(timeout=60)


def resident(pid: int) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> Counter[str]:
    """How many it has open, by what they lead to: a file, `listening`, or the port of a socket's other end."""
    held = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    ends = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, _, remote, state, *_, inode = line.split()[:10]
            ends[f"socket:[{inode}]"] = "listening" if state == "0A" else str(int(remote.rpartition(":")[2], 16))
    return Counter(ends.get(name, name.partition(":")[0]) for name in held)


def threads(pid: int) -> int:
    """How many it has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def member(pid: int, word: str) -> int:
    """The one process of its family whose command has this word."""
    (found,) = (one for one in family(pid) if word.encode() in Path(f"/proc/{one}/cmdline").read_bytes())
    return found


def family(pid: int) -> Iterator[int]:
    """The process and its descendants."""
    yield pid
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from family(int(child))


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
