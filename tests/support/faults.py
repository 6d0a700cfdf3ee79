"""Adapters that fail on purpose: refused, reset, throttled, silent, or late."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from inspect import iscoroutinefunction
from typing import Any

from botocore.exceptions import ClientError

from subsecond.bootstrap import adapter
from subsecond.config import Settings

THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "GetItem")
LATE = 0.2


async def hang() -> None:
    await asyncio.Event().wait()


async def be_late() -> None:
    await asyncio.sleep(LATE)


def failing(error: Exception) -> Any:
    async def fail() -> None:
        raise error

    return fail


FAULTS = {
    "refused": failing(ConnectionRefusedError("no such host")),
    "reset": failing(ConnectionResetError("connection reset by peer")),
    "throttled": failing(THROTTLED),
    "wrong": failing(KeyError("a reply without what it must have")),
    "silent": hang,
    "late": be_late,
}


class Faulty:
    """An adapter whose asynchronous methods meet the fault first, for as long as `on`."""

    def __init__(self, inner: Any, fault: str) -> None:
        self._inner, self._fault = inner, FAULTS[fault]
        self.on = False
        self.met = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not iscoroutinefunction(found):
            return found

        async def call(*args: Any, **named: Any) -> Any:
            if self.on:
                self.met += 1
                await self._fault()
            return await found(*args, **named)

        return call


class Held:
    """An upstream that is asked once `open` is set."""

    def __init__(self, upstream: Any) -> None:
        self._upstream = upstream
        self.open = asyncio.Event()

    async def ask(self, call: Any) -> Any:
        await self.open.wait()
        return await self._upstream.ask(call)


class Spy:
    """An adapter that writes down the names of its methods that are called."""

    def __init__(self, inner: Any, port: str, calls: list[tuple[str, str]]) -> None:
        self._inner, self._port, self._calls = inner, port, calls

    def __getattr__(self, name: str) -> Any:
        if iscoroutinefunction(found := getattr(self._inner, name)):
            self._calls.append((self._port, name))
        return found


@contextmanager
def faulty(settings: Settings, port: str, fault: str) -> Iterator[tuple[Settings, Faulty]]:
    """The settings with that port's adapter made faulty, and the adapter, which works until it is switched on."""
    made = Faulty(adapter(port, settings), fault)
    with _named(settings, port, made) as changed:
        yield changed, made


@contextmanager
def spied(settings: Settings, port: str, calls: list[tuple[str, str]]) -> Iterator[Settings]:
    """The settings with that port's adapter watched: `calls` gets (port, method)."""
    with _named(settings, port, Spy(adapter(port, settings), port, calls)) as changed:
        yield changed


@contextmanager
def _named(settings: Settings, port: str, made: Any) -> Iterator[Settings]:
    """Settings that name a module which builds `made`: an adapter of one's own."""
    name = f"made_for_a_test_{port}.adapter"
    module = module_from_spec(ModuleSpec(name, None))
    module.build = lambda _settings: made  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        yield replace(settings, **{port: name})
    finally:
        del sys.modules[name]
