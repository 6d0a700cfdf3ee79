"""What is deployed, and which paths lead to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

InvokeMode = Literal["BUFFERED", "RESPONSE_STREAM"]


@dataclass(frozen=True, slots=True)
class Function:
    """One function. Times in seconds, memory in MB.

    directory: holds the handler's module (LAMBDA_TASK_ROOT); `layers`: folders as under /opt/python.
    environment: all that the function finds beside Lambda's own variables; nothing is inherited.
    wrapper: AWS_LAMBDA_EXEC_WRAPPER. Without one, `runtime` is the module that is started.
    python: the interpreter, of `version`; with the project's own one, its installed packages serve as the layer.
    minimum, maximum: environments. Past the maximum a request waits for at most `timeout`, or gets 429 at once where
    `queue` is off.
    idle: after this long without a request an environment goes.
    initialisation: its time limit. AWS gives 10 s and starts over within the invocation; here one limit suits loaded
    laptops.
    freeze: an environment is stopped between requests, as AWS does it.
    core_share: of a core, while an event is served; 0: all of it. A start has all of it in any case, as on AWS.
    """

    name: str
    directory: Path
    handler: str = "app.handler"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    layers: tuple[Path, ...] = ()
    mode: InvokeMode = "BUFFERED"
    timeout: float = 30.0
    memory: int = 512
    wrapper: Path | None = None
    runtime: str = "awslambdaric"
    python: Path = Path(sys.executable)
    version: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    minimum: int = 0
    maximum: int = 4
    queue: bool = True
    idle: float = 300.0
    initialisation: float = 60.0
    freeze: bool = False
    core_share: float = 0.0
    snap_start: bool = False
    region: str = "us-east-1"

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:000000000000:function:{self.name}"

    def command(self) -> list[str]:
        """The process of one environment, as Lambda would start it."""
        stock = [str(self.python), "-m", self.runtime, self.handler]
        return stock if self.wrapper is None else [str(self.wrapper), *stock]

    def variables(self, runtime_api: str, stream: str) -> dict[str, str]:
        """The whole environment of the process. `stream`: the log stream's name, one for each environment."""
        paths = [self.directory, *self.layers]
        own = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": ":".join(str(path) for path in paths),
            "LAMBDA_TASK_ROOT": str(self.directory),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{self.version}",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start" if self.snap_start else "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "_HANDLER": self.handler,
        }
        if self.wrapper is not None:
            own["AWS_LAMBDA_EXEC_WRAPPER"] = str(self.wrapper)
        return {**self.environment, **own}


@dataclass(frozen=True, slots=True)
class UrlRoute:
    """Requests whose path begins with `paths`, or for which it answers true, go to `function`; the first route wins."""

    paths: str | Callable[[str], bool]
    function: str

    def leads(self, path: str) -> bool:
        return path.startswith(self.paths) if isinstance(self.paths, str) else self.paths(path)
