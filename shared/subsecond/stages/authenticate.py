"""Who asks. The one stage that fails closed."""

from __future__ import annotations

from hashlib import sha256

from subsecond.errors import Unauthorized, Unavailable
from subsecond.model import Tenant
from subsecond.ports import Keys
from subsecond.stats.trace import Step, Trace


async def authenticate(keys: Keys, token: str | None, trace: Trace) -> Tenant:
    """The token's tenant. Raises Unauthorized, or Unavailable when the key store cannot say."""
    with trace.step(Step.AUTHENTICATE):
        if not token:
            raise Unauthorized("No API key. Send it as `Authorization: Bearer KEY`.")
        # A header may hold any byte; the token itself goes no further than this line.
        digest = sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        try:
            tenant = await keys.tenant(digest)
        except Unavailable:
            raise
        except Exception as error:
            raise Unavailable("The key store cannot be reached. Try again shortly.") from error
    if tenant is None:
        raise Unauthorized("This API key is unknown or disabled.")
    trace.partition = tenant.partition
    return tenant
