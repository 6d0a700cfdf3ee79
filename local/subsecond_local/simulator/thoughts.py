"""The signature of a thought, by which whoever has thought it knows it again."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode

_SECRET = b"the simulator's own"


def signature(thought: str) -> str:
    return b64encode(hmac.digest(_SECRET, thought.encode(), hashlib.sha256)).decode()


def sealed(thought: str) -> str:
    """What stands for a thought that is not shown."""
    return signature(f"sealed {thought}")
