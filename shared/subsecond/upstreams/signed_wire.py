"""Requests to Bedrock on our own transport, signed with the role's credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from subsecond.aio.lazy import Lazy
from subsecond.aws.client import Aws, code_of
from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.upstreams.http.exchange import Incoming, Outgoing

if TYPE_CHECKING:
    from subsecond.aws.signing import Signer
    from subsecond.upstreams.http.transport import Transport

SERVICE = "bedrock-runtime"


class SignedWire:
    """The port `Sender`, to one region's endpoint. A key is never sent. fields: more headers of some requests, by path.

    Without credentials or a region a call is Unavailable; hits and `GET /health` do without."""

    def __init__(self, settings: Settings, aws: Aws, fields: Mapping[str, Mapping[str, str]]) -> None:
        self._settings = settings
        self._aws = aws
        self._fields = fields
        self._lazy = Lazy(self._made)

    async def load(self) -> None:
        """The signer, the region's address, the system's trust: in a thread."""
        if self._lazy.made is None:
            await self._get()

    async def open(self) -> None:
        await (await self._get())[1].open()

    async def send(self, outgoing: Outgoing, key: str, until: float) -> Incoming:  # noqa: ARG002 -- the role signs
        signer, transport = await self._get()
        path, method = outgoing.path, outgoing.verb
        url, body = urlsplit(signer.url), outgoing.content or b""
        # Only what Bedrock reads is signed.
        fields = {**self._fields.get(path, {}), "host": url.netloc}
        fields |= {name.decode("latin-1"): value.decode("latin-1") for name, value in outgoing.headers}
        if outgoing.content is not None:
            fields["content-type"] = "application/json"
        try:
            if signer.blocks:
                await self._aws.run(signer.renew)
            fields = signer.headers(method, path, body, fields)
        except self._aws.errors as error:
            raise Unavailable(_told(error)) from error
        lines = [f"{method} {url.path}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        # Compressed events would arrive in blocks.
        lines += ["accept-encoding: identity", "user-agent: subsecond"]
        if outgoing.content is not None:
            lines.append(f"content-length: {len(body)}")
        return await transport.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body, until)

    async def hang_up(self) -> None:
        if self._lazy.made is not None:
            await self._lazy.made[1].aclose()

    async def _get(self) -> tuple[Signer, Transport]:
        try:
            return await self._lazy.get()
        except self._aws.errors as error:
            raise Unavailable(_told(error)) from error

    def _made(self) -> tuple[Signer, Transport]:
        from subsecond.upstreams.http.transport import Transport  # not for a hit

        signer = self._aws.signer(SERVICE, self._settings.bedrock_region)
        places, connect = self._settings.upstream_connections, self._settings.connect_timeout
        return signer, Transport.to(urlsplit(signer.url), places, connect)


def _told(error: Exception) -> str:
    return f"Bedrock cannot be asked ({code_of(error)}): are there credentials, and a region (AWS_DEFAULT_REGION)?"
