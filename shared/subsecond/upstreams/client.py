"""Sends one call to a server of models and reads its answer, and again where a failure may pass: what the adapters
that speak HTTP share."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from subsecond.aws.secrets import forget, secret
from subsecond.config import Settings
from subsecond.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from subsecond.upstreams.http.content_coding import UnknownCoding, decoded
from subsecond.upstreams.http.exchange import ConnectTimeout, Fields, Incoming, Outgoing, SendFailed
from subsecond.upstreams.reading import read_at_most
from subsecond.upstreams.refusals import MAX_ERROR, hidden, refusal
from subsecond.upstreams.retrying import RETRIED, Passing, retrying
from subsecond.upstreams.time_limits import Clock

T = TypeVar("T")
# Takes what is not to be quoted: see `hidden`.
Reader = Callable[[Incoming, bytes], Awaitable[T]]
# What the client gets for an error status: see `refusals.refusal`.
Refusal = Callable[[int, Fields, bytes, bytes], UpstreamError]

log = logging.getLogger("subsecond")


class Sender(Protocol):
    """What is below an adapter: requests out, answers in."""

    async def load(self) -> None:
        """What the first request would wait for, without a connection."""

    async def open(self) -> None:
        """A connection for a request to come. SendFailed where there is none to be had."""

    async def send(self, outgoing: Outgoing, key: str, until: float) -> Incoming:
        """The answer, its head read. TimeoutError at `until`, on the event loop's clock; SendFailed."""

    async def hang_up(self) -> None:
        """Close every connection; the next request opens a new one."""


class Client:
    """One server, as the adapters of `upstreams/` ask it. host: for the log."""

    def __init__(self, settings: Settings, sender: Sender, host: str, refused: Refusal = refusal) -> None:
        self._settings = settings
        self._sender = sender
        self._host = host
        self._refused = refused

    async def load(self) -> None:
        """What the first call would wait for. Before its clock starts: that is not the server's time."""
        await self._sender.load()

    async def warm(self) -> None:
        """A connection for a call to come. Raises UpstreamError."""
        await self.load()
        try:
            await self._sender.open()
        except SendFailed as error:
            raise self._unreachable(error) from error

    async def hang_up(self) -> None:
        """Close every connection; the next call opens a new one."""
        await self._sender.hang_up()

    async def call(self, outgoing: Outgoing, clock: Clock, read: Reader[T]) -> T:
        """What `read` makes of a good status's answer. Raises UpstreamError."""
        try:
            return await retrying(lambda: self._attempt(outgoing, clock, read), clock, self._settings.upstream_retries)
        except UpstreamUnreachable as error:
            log.warning("no answer from the upstream %s: %s", self._host, error.__cause__ or error)
            raise

    async def _attempt(self, outgoing: Outgoing, clock: Clock, read: Reader[T]) -> T:
        key = await self._key()
        incoming = await self._send(outgoing, key, clock)
        try:
            if incoming.status in range(200, 300):
                return await read(incoming, hidden(key))
            said = await read_at_most(incoming, clock, MAX_ERROR)
        except UpstreamUnreachable as broken:
            incoming.close()
            raise Passing(broken, 1 + incoming.resent) from broken.__cause__
        except BaseException:
            incoming.close()
            raise
        incoming.close()
        error = self._refused(incoming.status, incoming.headers, said, hidden(key))
        if error.code == "upstream_auth" and self._settings.upstream_secret:
            forget(self._settings.upstream_secret)
        raise Passing(error, 1 + incoming.resent) if incoming.status in RETRIED else error

    async def _send(self, outgoing: Outgoing, key: str, clock: Clock) -> Incoming:
        """Its head is read; its body comes decoded."""
        until = clock.next()
        try:
            incoming = await self._sender.send(outgoing, key, until)
        except TimeoutError:
            raise clock.late(until) from None
        except SendFailed as failure:
            raise Passing(self._unreachable(failure), failure.sent) from failure
        try:
            return decoded(incoming)
        except UnknownCoding as coding:
            incoming.close()
            text = f"The upstream's answer is compressed ({coding}), which it was asked not to do."
            raise UpstreamError(text, code="upstream_encoding") from None

    def _unreachable(self, failure: SendFailed) -> UpstreamError:
        if isinstance(failure, ConnectTimeout):
            seconds = self._settings.connect_timeout
            return UpstreamTimeout(f"The upstream took no connection within {seconds:g} s.")
        return UpstreamUnreachable("The upstream could not be reached.")

    async def _key(self) -> str:
        """Asked for each call, so that a rotated secret is found; "" where there is none. Raises Unavailable."""
        if self._settings.upstream_secret:
            return await secret(self._settings.upstream_secret, self._settings.secret_max_age)
        return self._settings.upstream_key
