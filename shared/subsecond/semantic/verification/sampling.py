"""Which hits are checked, and when the judge itself is."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from subsecond.semantic.verification.accuracy import SEEDS, Accuracy
from subsecond.semantic.verification.samples import Sample

if TYPE_CHECKING:
    from subsecond.model import Call, Entry, Request
    from subsecond.semantic.verification.surge import Watch

# A seeded pair of each kind comes after so many checks: at first, until the judge is known, and later on.
FIRST, LATER = 5, 10


def is_sampled(request_id: str, share: float) -> bool:
    """Whether the hit that answered this request is checked. The request's name decides, which is the gateway's: so a
    record that comes twice is decided on alike, and nobody who asks can know."""
    drawn = int.from_bytes(sha256(request_id.encode()).digest()[:8])
    return drawn < share * 2**64


def seeds_are_due(accuracy: Accuracy) -> bool:
    """Whether a seeded pair of each kind comes now, after a check."""
    known = min(accuracy.judge.wrong.n, accuracy.judge.right.n)
    return (accuracy.checked.n + accuracy.shadow.n) % (FIRST if known < SEEDS else LATER) == 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the semantic stage samples by, where the owner lets texts be kept. share: of the hits. bound, cut: as of
    `Sample`."""

    share: float
    bound: float
    cut: float

    def sample(
        self, request: Request, entry: Entry, vector: bytes, score: float, *, shadow: bool, watch: Watch | None = None
    ) -> Sample | None:
        """The hit of `entry`, if it is chosen. vector: the question's, packed. watch: that has just seen the hit."""
        name = request.trace.request_id
        if not is_sampled(name, self.share):
            return None
        return Sample(
            request_id=name,
            partition=request.tenant.partition,
            entry=entry.prompt.key,
            at=time.time(),
            score=score,
            bound=self.bound,
            cut=self.cut,
            embedder=entry.embedder,
            asked=request.prompt.text,
            stored=entry.prompt.text,
            answer=entry.recording.text,
            context=context_of(request.call),
            shadow=shadow,
            asked_vector=vector,
            stored_vector=entry.vector,
            gap=watch.gap if watch else 0,
            surged=watch.surged if watch else 0,
        )


def context_of(call: Call) -> str:
    """What stands around the last turn: it is the same for both questions, or they would not be in one scope."""
    messages = call.body.get("messages")
    around = messages[:-1] if isinstance(messages, list) else []
    return json.dumps(around, ensure_ascii=False) if around else ""
