"""Which hits are checked, and when the judge itself is."""

from __future__ import annotations

from hashlib import sha256

from subsecond.semantic.verification.accuracy import SEEDS, Accuracy

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
    return accuracy.checked.n % (FIRST if known < SEEDS else LATER) == 0
