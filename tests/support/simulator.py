"""The servers of models as child processes, for suites that need one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import urlsplit

from subsecond_local.run.children import die_with_parent


class ServerProcess:
    """A context manager: the server runs inside it. It ends when this process ends, however that comes. Start it from
    the main thread: Linux ties a child to the thread that made it."""

    def __init__(self, module: str, *options: str, environ: Mapping[str, str] | None = None) -> None:
        command = (sys.executable, "-m", module, *options)
        self._child = subprocess.Popen(
            die_with_parent(command, signal.SIGKILL), stdout=subprocess.PIPE, text=True, env=environ
        )
        line = self._child.stdout.readline()
        if not line.startswith("READY "):
            self.stop()
            raise RuntimeError(f"{module} did not start: {line!r}")
        self.url = line.split()[1]

    @property
    def pid(self) -> int:
        return self._child.pid

    def stats(self) -> dict[str, Any]:
        """What `GET /stats` says."""
        return self.ask("GET", "/stats")

    def reset(self) -> None:
        """Count from zero."""
        self.ask("POST", "/stats/reset")

    def stop(self) -> None:
        with self._child:
            self._child.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def ask(self, method: str, path: str) -> dict[str, Any]:
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=60)) as connection:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())


class SimulatorProcess(ServerProcess):
    """The simulator."""

    def __init__(self, key: str = "", slots: int = 0, seed: int = 0, environ: Mapping[str, str] | None = None) -> None:
        options = (f"--key={key}", f"--slots={slots}", f"--seed={seed}")
        super().__init__("subsecond_local.simulator.server", *options, environ=environ)
        self.key = key
        self.base_url = f"{self.url}/v1"


class BedrockProcess(ServerProcess):
    """The stand-in for Bedrock, which takes the credentials that tests have."""

    def __init__(self) -> None:
        super().__init__("subsecond_local.bedrock.server")

    def throttle(self, region: str, times: int) -> None:
        """The next calls there are throttled."""
        self.ask("POST", f"/throttle/{region}/{times}")

    def asked(self) -> list[dict[str, Any]]:
        """What was asked: region, operation, model, body, and Bedrock's own headers."""
        return self.stats()["asked"]
