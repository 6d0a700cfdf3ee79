"""Finds every adapter of a port, so that a new one is tested without being named here."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import subsecond
from subsecond.config import Settings
from subsecond.setting_values import ADAPTERS, module_of


def engines(port: str) -> list[str]:
    """The engines (folders of `stores/`) that keep this port's things."""
    (root,) = map(Path, subsecond.__path__)
    return sorted(path.parent.name for path in root.glob(ADAPTERS[port]))


def modules(package: ModuleType) -> list[str]:
    """The full names of the adapters in `package`: its files that have a `build`."""
    found = [f"{package.__name__}.{one.name}" for one in pkgutil.iter_modules(package.__path__) if not one.ispkg]
    return [name for name in found if hasattr(import_module(name), "build")]


def store(port: str, engine: str, settings: Settings | None = None) -> Any:
    """The port's store of that engine."""
    return import_module(module_of(port, engine)).build(settings or Settings())
