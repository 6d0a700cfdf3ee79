"""Whether a clock may stand in a system text: as much as every miss is asked."""

from __future__ import annotations

# The field that a body has for its key where times were masked in it: how many.
MASKED = "times masked (SUBSECOND_VOLATILE)"
# Seconds by which a time of asking may lie before the arrival (a prompt is filled in, then sent, then waits), and
# after it, where clocks differ.
LATE, EARLY = 120.0, 60.0


def may_have_clock(text: str, arrival: float) -> bool:
    """Whether it has the minute of the arrival in it, in some zone, or the beginning of its seconds: so most texts are
    done with at the speed of memory."""
    if str(int(arrival))[:6] in text:
        return True
    minute = int(arrival // 60)
    around = range(-int(EARLY // 60), int(LATE // 60) + 2)
    return ":" in text and any(f":{(minute - back + zone) % 60:02}" in text for zone in (0, 30, 45) for back in around)
