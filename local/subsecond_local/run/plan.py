"""What one run starts and what each of its children is variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from subsecond.bootstrap import check
from subsecond.config import Settings
from subsecond_local.cli.key_admin import KeyTable, new_token
from subsecond_local.emulator import aws_emulator
from subsecond_local.errors import LocalError
from subsecond_local.run import stores, upstreams
from subsecond_local.run.bedrock_access import bedrock_access
from subsecond_local.run.children import Child
from subsecond_local.run.gateways import GATEWAYS, Follow
from subsecond_local.run.ports import HOST, free_ports
from subsecond_local.run.run_config import RunConfig
from subsecond_local.run.stores import KEY_FILE, Stores

KEY_NAME = "make-run"
TENANT = "local"
NAMESPACE = "default"
# What names an account, a provider or a setting of the gateway: each child gets only what is meant for it.
OURS = ("AWS_", "OPENAI_", "SUBSECOND_")
# Threads of the linear algebra spin while they wait, and two cores have better things to do.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


class RunPlan:
    """One run's children and stores. `cleaning` takes back what it has taken. LocalError when a setting does not fit:
    the gateway would say so too, but a function says it into its log, once for every request."""

    def __init__(
        self, config: RunConfig, environ: Mapping[str, str], cleaning: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._config = config
        self._environ = environ
        self._cleaning = cleaning
        self._say = say
        self._ministack_port, upstream_port = free_ports(2)
        self._child_environ = child_environ(environ)
        self._upstream = upstreams.choose(config, upstream_port, self._child_environ, say)
        self._stores = self._find_stores()
        self.key = config.api_key or read_or_make_key(config.data)
        try:
            check(Settings.from_env(self._gateway_environ()))
        except ValueError as error:
            raise LocalError(str(error)) from error

    def dependencies(self) -> Sequence[Child]:
        """What the gateway stands on. LocalError when another run uses the same data."""
        children = [self._upstream.child] if self._upstream.child else []
        if self._stores and self._stores.emulated:
            lock = aws_emulator.lock_state(self._config.data, say=self._say)
            self._cleaning.callback(os.close, lock)
            bucket = self._stores.bucket
            children.insert(
                0, aws_emulator.ministack(self._ministack_port, self._config.data, self._child_environ, lock, bucket)
            )
        return children

    def prepare(self) -> None:
        """Tables, bucket and key. LocalError when the stores cannot be used."""
        if self._stores is None:
            return
        with stores.readable_errors(self._stores):
            aws_emulator.create_stores(self._stores)
            table = KeyTable(self._stores.dynamodb(), self._stores.state_table)
            if not self._config.api_key and table.is_revoked(self.key):
                self.key = new_key(self._config.data)
            table.replace(self.key, KEY_NAME, TENANT, NAMESPACE)

    def gateway(self, factory: str) -> Sequence[Child]:
        environ = self._gateway_environ()
        return GATEWAYS[self._config.mode](self._config.port, factory, environ, self._follow(environ))

    def ready(self) -> str:
        """The line that says so. From now on other commands find the run."""
        base_url = f"http://{HOST}:{self._config.port}/v1"
        if self._stores:
            stores.note_run(self._config.data, self._stores, base_url)
            self._cleaning.callback(stores.forget_run, self._config.data)
        how = f"upstream: {self._upstream.name}, mode: {self._config.mode}, stores: {self._config.stores}"
        how += f", page: http://{HOST}:{self._config.port}/, logs: {self._config.data / 'logs'}"
        return f"Subsecond is ready: {base_url}  key: {self.key}  ({how})"

    def _find_stores(self) -> Stores | None:
        if self._config.stores == "memory":
            return None
        if self._config.named:
            return stores.stores_from_env(self._environ, self._config.endpoint or None, emulated=False)
        return stores.stores_from_env(self._environ, f"http://{HOST}:{self._ministack_port}", emulated=True)

    def _follow(self, environ: Mapping[str, str]) -> Follow:
        """What the indexer follows. In memory every process finds what it has stored itself, and nobody else does."""
        if self._stores is None or Settings.from_env(environ).semantic == "off":
            return "nothing"
        # ministack forgets its stream when it stops. AWS does not, and scanning a table of AWS is paid for.
        return "table" if self._stores.emulated else "stream"

    def _gateway_environ(self) -> Mapping[str, str]:
        variables = {name: _absolute_file(value) for name, value in self._named("SUBSECOND_").items()}
        chosen = {
            "SUBSECOND_UPSTREAM_URL": self._upstream.url,
            "SUBSECOND_UPSTREAM_KEY": self._upstream.key,
            # With a catalogue the upstream's own names are not known.
            "SUBSECOND_DEFAULT_MODEL": "auto" if variables.get("SUBSECOND_CATALOGUE") else self._upstream.default_model,
        }
        if self._upstream.name == "simulator":
            chosen["SUBSECOND_UPSTREAM_KIND"] = "simulator"
        variables |= chosen
        emulated = aws_emulator.access(self._ministack_port) if self._stores and self._stores.emulated else {}
        access = emulated or (self._named("AWS_") if self._stores else {})
        if self._upstream.name == "bedrock":
            variables["SUBSECOND_UPSTREAM"] = "bedrock"
            access = bedrock_access(self._environ, emulated)
        if self._stores is None:
            return {
                **self._child_environ,
                **ONE_THREAD,
                **access,
                **variables,
                "SUBSECOND_STORES": "memory",
                "SUBSECOND_API_KEY": self.key,
            }
        # The key is in the table, where it can be revoked.
        variables.pop("SUBSECOND_API_KEY", None)
        return {**self._child_environ, **ONE_THREAD, **access, "SUBSECOND_STORES": "aws", **variables}

    def _named(self, prefix: str) -> dict[str, str]:
        return {name: value for name, value in self._environ.items() if name.startswith(prefix)}


def _absolute_file(value: str) -> str:
    """A file means the same in every child; a function's current folder is its own."""
    return f"file:{Path(value.removeprefix('file:')).absolute()}" if value.startswith("file:") else value


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What every child gets: nobody's credentials, bytecode files, and no proxy between processes of one machine."""
    # Without bytecode files some imports take twice as long.
    dropped = ("PYTHONDONTWRITEBYTECODE", "NO_PROXY", "no_proxy")
    kept = {name: value for name, value in environ.items() if not name.startswith(OURS) and name not in dropped}
    direct = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), HOST, "localhost")))
    # A child started with -m would look for modules in the current folder first.
    return {**kept, "PYTHONSAFEPATH": "1", "NO_PROXY": direct, "no_proxy": direct}


def read_or_make_key(data: Path) -> str:
    """The key of the last run, or a new one."""
    with suppress(FileNotFoundError):
        kept = (data / KEY_FILE).read_text().strip()
        if kept:
            return kept
    return new_key(data)


def new_key(data: Path) -> str:
    token = new_token()
    stores.write_private(data / KEY_FILE, token + "\n")
    return token
