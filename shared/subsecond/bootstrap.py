"""The one place that joins ports to adapters. The name in the settings picks the file; only that file is imported."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from subsecond.admission import Admission, Limits
from subsecond.cacheability import ttl_rules
from subsecond.config import Settings
from subsecond.pipeline import Gateway
from subsecond.stages.flight import Sharing
from subsecond.stages.rules import Rules

if TYPE_CHECKING:
    from subsecond.stages.semantic import Similar

FOLDERS = {"upstream": "upstreams", "keys": "keys", "exact": "cache", "ledger": "stats.ledgers", "hits": "hits"}
RULES = {"invalidations": "invalidations"}
FLIGHTS = {"flights": "flights.leases"}
SEMANTIC = {"embedder": "embedders", "semantic": "policies", "objects": "objects"}


def adapter(port: str, settings: Settings) -> Any:
    """The configured adapter of `port`; ValueError names the setting when there is no such file."""
    name = getattr(settings, port)
    module = f"subsecond.{(FOLDERS | RULES | FLIGHTS | SEMANTIC)[port]}.{name}"
    if not name.isidentifier():
        raise ValueError(f"SUBSECOND_{port.upper()}={name!r} is not the name of an adapter")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ValueError(f"SUBSECOND_{port.upper()}={name!r}: there is no such adapter") from None
    return found.build(settings)


def gateway(settings: Settings | None = None) -> Gateway:
    """The gateway of these settings (default: the environment's)."""
    settings = settings or Settings.from_env()
    ttl_rules(settings.ttl_rules)
    parts = {port: adapter(port, settings) for port in FOLDERS}
    rules = Rules(adapter("invalidations", settings))
    return Gateway(
        settings=settings,
        **parts,
        admission=Admission(Limits.of(settings)),
        rules=rules,
        sharing=Sharing.of(None if settings.flights == "off" else adapter("flights", settings), rules, settings),
        similar=None if settings.semantic == "off" else similar(settings, rules),
    )


def similar(settings: Settings, rules: Rules | None = None) -> Similar:
    """The semantic stage. It loads numpy and the embedder's table."""
    from subsecond.semantic.reader import Reader, ReaderLimits  # noqa: PLC0415 -- as the docstring says
    from subsecond.stages.semantic import Similar  # noqa: PLC0415

    embedder = adapter("embedder", settings)
    reader = Reader(adapter("objects", settings), embedder.id, embedder.dim, ReaderLimits(memory=settings.index_memory))
    return Similar(embedder, reader, adapter("semantic", settings), settings.semantic_timeout, rules)
