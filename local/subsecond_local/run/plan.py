"""What one run starts and what each of its children is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from subsecond.bootstrap import check
from subsecond.config import Settings
from subsecond_local.cli.key_admin import KeyTable, new_token
from subsecond_local.emulator import aws_emulator as stand_in
from subsecond_local.errors import LocalError
from subsecond_local.run import stores, upstreams
from subsecond_local.run.children import Child
from subsecond_local.run.gateways import GATEWAYS, Follow
from subsecond_local.run.ports import HOST, free_ports
from subsecond_local.run.run_config import Knobs
from subsecond_local.run.stores import Stores

KEY_FILE = "api_key"
KEY_NAME = "make-run"
TENANT = "local"
NAMESPACE = "default"
# What names an account, a provider or a setting of the gateway: each child gets only what is meant for it.
OURS = ("AWS_", "OPENAI_", "SUBSECOND_")
# Threads of the linear algebra spin while they wait, and two cores have better things to do.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


class Plan:
    """One run's children and stores. `cleaning` takes back what it has taken. LocalError when a setting does not fit:
    the gateway would say so too, but a function says it into its log, once for every request."""

    def __init__(
        self, knobs: Knobs, environ: Mapping[str, str], cleaning: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._knobs = knobs
        self._environ = environ
        self._cleaning = cleaning
        self._ministack_port, upstream_port = free_ports(2)
        self._plain = plain(environ)
        self._upstream = upstreams.choose(knobs, upstream_port, self._plain, say)
        self._stores = self._find_stores()
        self._key = knobs.api_key or kept_key(knobs.data)
        try:
            check(Settings.from_env(self._gateway_environ()))
        except ValueError as error:
            raise LocalError(str(error)) from error

    def below(self) -> Sequence[Child]:
        """What the gateway stands on. LocalError when another run uses the same data."""
        children = [self._upstream.child] if self._upstream.child else []
        if self._stores and self._stores.stand_in:
            lock = stand_in.lock_state(self._knobs.data)
            self._cleaning.callback(os.close, lock)
            bucket = self._stores.bucket
            children.insert(0, stand_in.ministack(self._ministack_port, self._knobs.data, self._plain, lock, bucket))
        return children

    def prepare(self) -> None:
        """Tables, bucket and key. LocalError when the stores cannot be used."""
        if self._stores is None:
            return
        with stores.in_words(self._stores):
            stand_in.create_stores(self._stores)
            table = KeyTable(self._stores.dynamodb(), self._stores.state_table)
            if not self._knobs.api_key and table.is_revoked(self._key):
                self._key = new_key(self._knobs.data)
            table.replace(self._key, KEY_NAME, TENANT, NAMESPACE)

    def gateway(self, factory: str) -> Sequence[Child]:
        environ = self._gateway_environ()
        return GATEWAYS[self._knobs.mode](self._knobs.port, factory, environ, self._follow(environ))

    def ready(self) -> str:
        """The line that says so. From now on other commands find the run."""
        base_url = f"http://{HOST}:{self._knobs.port}/v1"
        if self._stores:
            stores.note_run(self._knobs.data, self._stores, base_url)
            self._cleaning.callback(stores.forget_run, self._knobs.data)
        how = f"upstream: {self._upstream.name}, mode: {self._knobs.mode}, stores: {self._knobs.stores}"
        return f"Subsecond is ready: {base_url}  key: {self._key}  ({how})"

    def _find_stores(self) -> Stores | None:
        if self._knobs.stores == "memory":
            return None
        if self._knobs.endpoint:
            return stores.named(self._environ, self._knobs.endpoint, stand_in=False)
        return stores.named(self._environ, f"http://{HOST}:{self._ministack_port}", stand_in=True)

    def _follow(self, environ: Mapping[str, str]) -> Follow:
        """What the indexer follows. In memory every process finds what it has stored itself, and nobody else does."""
        if self._stores is None or Settings.from_env(environ).semantic == "off":
            return "nothing"
        # ministack forgets its stream when it stops. AWS does not, and scanning a table of AWS is paid for.
        return "table" if self._stores.stand_in else "stream"

    def _gateway_environ(self) -> Mapping[str, str]:
        told = {name: _from_here(value) for name, value in self._named("SUBSECOND_").items()}
        chosen = {
            "SUBSECOND_UPSTREAM_URL": self._upstream.url,
            "SUBSECOND_UPSTREAM_KEY": self._upstream.key,
            # With a catalogue the upstream's own names are not known.
            "SUBSECOND_DEFAULT_MODEL": "auto" if told.get("SUBSECOND_CATALOGUE") else self._upstream.default_model,
        }
        told |= chosen
        if self._stores is None:
            return {**self._plain, **ONE_THREAD, **told, "SUBSECOND_STORES": "memory", "SUBSECOND_API_KEY": self._key}
        # The key is in the table, where it can be revoked.
        told.pop("SUBSECOND_API_KEY", None)
        access = stand_in.access(self._ministack_port) if self._stores.stand_in else self._named("AWS_")
        return {**self._plain, **ONE_THREAD, **access, "SUBSECOND_STORES": "aws", **told}

    def _named(self, prefix: str) -> dict[str, str]:
        return {name: value for name, value in self._environ.items() if name.startswith(prefix)}


def _from_here(value: str) -> str:
    """A file means the same in every child; a function's current folder is its own."""
    return f"file:{Path(value.removeprefix('file:')).absolute()}" if value.startswith("file:") else value


def plain(environ: Mapping[str, str]) -> dict[str, str]:
    """What every child gets: nobody's credentials, bytecode files, and no proxy between processes of one machine."""
    # Without bytecode files some imports take twice as long.
    dropped = ("PYTHONDONTWRITEBYTECODE", "NO_PROXY", "no_proxy")
    kept = {name: value for name, value in environ.items() if not name.startswith(OURS) and name not in dropped}
    direct = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), HOST, "localhost")))
    # A child started with -m would look for modules in the current folder first.
    return {**kept, "PYTHONSAFEPATH": "1", "NO_PROXY": direct, "no_proxy": direct}


def kept_key(data: Path) -> str:
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
