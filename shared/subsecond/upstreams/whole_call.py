"""A whole call that is no completion (`/embeddings`): asked by `stages/upstream.py` where there is one upstream, by
`routing/relaying.py` where there are several models."""

from __future__ import annotations

from subsecond.cache.embeddings import refused
from subsecond.model import Call
from subsecond.ports import Reply, Upstream

PATH = "/embeddings"


async def whole_reply(upstream: Upstream, call: Call) -> Reply:
    """The reply as it came. Raises UpstreamError, errors in disguise included."""
    reply = await upstream.fetch(PATH, {**call.body, "model": call.model}, call.deadline)
    if error := refused(reply.body):
        raise error
    return reply
