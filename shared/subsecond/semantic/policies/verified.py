"""`guarded`, behind a bound: of its hits only those are served that what was learned from checks lets through.

The policy itself is the same, because what is learned is a namespace's and not the policy's: see
`semantic/verification/`.
"""

from __future__ import annotations

from subsecond.config import Settings
from subsecond.semantic.policies import guarded


def build(settings: Settings) -> guarded.Guarded:
    """As `guarded.build`."""
    return guarded.build(settings)
