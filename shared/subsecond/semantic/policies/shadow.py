"""`guarded`, decided and not served: what it would have answered is compared with what the model then says.

The semantic stage holds it back (`stages/semantic.py`); the policy itself is the same.
"""

from __future__ import annotations

from subsecond.config import Settings
from subsecond.semantic.policies import guarded


def build(settings: Settings) -> guarded.Guarded:
    """As `guarded.build`."""
    return guarded.build(settings)
