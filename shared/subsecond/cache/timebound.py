"""Recognises questions whose answer changes with the time: in a minute, or tomorrow."""

from __future__ import annotations

import re

# Characters read of a text: a time word stands near its beginning or its end.
LONGEST = 2_000
# Seconds for which an answer to such a question is fresh.
FRESH = 60.0

_NOW = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|right now|at the moment|at present|currently|nowadays|latest|newest|"
    r"most recent|up[- ]to[- ]date|breaking|trending|as of|so far|just now|just happened|"
    r"(?:this|next|last|past|coming) (?:minute|hour|morning|afternoon|evening|week|weekend|month|quarter|season|year|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday)|"
    r"(?:is|are|was|were|do|does|did|has|have|can|what|who|where|how|open|closed|happening|available|live) "
    r"(?:\w+ ){0,4}now|"
    r"now\s*[?.!]*$|what(?:'s| is|s) (?:on|new)\b|"
    r"current(?:ly)? (?!account|affairs|assets?|liabilit|balance transfer|events? in history|density|flow)\w+|"
    r"what(?:'s| is|s)? (?:the )?(?:current )?(?:time|date|day)(?: is it| in\b|\s*[?.!]*$)|time is it|"
    r"weather|forecast|temperature (?:in|outside|at)|raining|snowing|air quality|pollen|"
    r"(?:stock|share|gold|silver|oil|petrol|gas|bitcoin|btc|ethereum|eth|crypto) (?:price|value|quote|rate)s?|"
    r"(?:price|value|rate|worth) of (?:an? |one )?(?:gold|silver|oil|bitcoin|btc|ethereum|eth|"
    r"\w+ (?:stock|share)s?|the (?:dollar|euro|pound))|"
    r"(?:exchange|interest|mortgage|inflation|unemployment|conversion) rates?|"
    r"(?:who|what)(?:'s| is| are)? (?:winning|leading|playing|the score)|"
    r"score of|final score|live scores?|standings|league table|"
    r"(?:the|any|latest|in the|sports?|world) news|headlines|traffic|delays? on|"
    r"(?:next|last) (?:match|game|train|bus|flight|election|race|episode)|status of)\b",
    re.IGNORECASE,
)


def timebound(text: str) -> bool:
    """Whether its answer depends on when it is asked. A rule of thumb for English; in doubt it says yes."""
    return _NOW.search(text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} {text[-LONGEST // 2 :]}") is not None
