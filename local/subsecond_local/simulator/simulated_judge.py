"""The fault `judge`: a model that answers the gateway's checks of semantic hits, or anything, with yes or no."""

from __future__ import annotations

import json
import re

from subsecond.semantic.verification.seeding import TURNED

TELLING = {*TURNED, "not", "never", "no"}


def verdict(turn: str) -> str:
    """Yes, unless the questions of the check differ in a number, a negation, or a word that has an opposite."""
    try:
        asked = json.loads(turn)
        return "yes" if _telling(asked["new_question"]) == _telling(asked["stored_question"]) else "no"
    except (KeyError, TypeError, ValueError):
        return "yes"


def _telling(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {word for word in words if word in TELLING or word.isdigit()}
