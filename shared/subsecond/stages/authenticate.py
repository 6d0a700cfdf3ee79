"""Who asks. The one stage that fails closed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256

from subsecond.errors import Unauthorized, Unavailable
from subsecond.model import Tenant
from subsecond.ports import Keys
from subsecond.stats.trace import Step, Trace


@dataclass(frozen=True, slots=True)
class Claim:
    """Who asks, as far as this environment knows. `check`: the key is being read again, because it was last read a
    while ago; None where that is not so. Nothing may be answered or spent before it is `confirmed`."""

    tenant: Tenant
    check: asyncio.Task[Tenant] | None = None

    async def confirmed(self, trace: Trace) -> None:
        """Raises what `authenticate` raises."""
        if self.check is None:
            return
        with trace.step(Step.AUTHENTICATE):
            try:
                tenant = await asyncio.shield(self.check)
            except (Unauthorized, Unavailable):
                trace.partition = trace.key = None  # whoever asks, it is not this tenant
                raise
        if tenant != self.tenant:
            trace.partition = trace.key = None
            raise Unavailable("This API key has just been changed. Try again.")


async def claim(keys: Keys, token: str | None, trace: Trace) -> Claim:
    """A key that this environment knows is believed for as long as it takes to read it again, beside what the request
    waits for anyway; any other one is waited for. Raises what `authenticate` raises."""
    believed = keys.believed(_hash(token)) if token else None
    if believed is None:
        return Claim(await authenticate(keys, token, trace))
    trace.partition, trace.key = believed.tenant.partition, believed.tenant.key
    if believed.sure:
        return Claim(believed.tenant)
    check = asyncio.create_task(_asked(keys, _hash(token or "")))
    check.add_done_callback(_taken)
    return Claim(believed.tenant, check)


async def authenticate(keys: Keys, token: str | None, trace: Trace) -> Tenant:
    """The token's tenant. Raises Unauthorized, or Unavailable when the key store cannot say."""
    with trace.step(Step.AUTHENTICATE):
        if not token:
            raise Unauthorized("No API key. Send it as `Authorization: Bearer KEY`, or as `x-api-key: KEY`.")
        tenant = await _asked(keys, _hash(token))
    trace.partition, trace.key = tenant.partition, tenant.key
    return tenant


def _hash(token: str) -> str:
    """A header may hold any byte; the token itself goes no further than this line."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


async def _asked(keys: Keys, token_hash: str) -> Tenant:
    try:
        tenant = await keys.tenant(token_hash)
    except Unavailable:
        raise
    except Exception as error:
        raise Unavailable("The key store cannot be reached. Try again shortly.") from error
    if tenant is None:
        raise Unauthorized("This API key is unknown or disabled.")
    return tenant


def _taken(check: asyncio.Task[Tenant]) -> None:
    """So that the loop does not report the error of a check that nobody came to."""
    if not check.cancelled():
        check.exception()
