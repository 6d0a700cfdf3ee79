"""All that clients, stores and upstreams do, at once, to the gateway that `subsecond run` serves.

Twenty minutes, or SOAK_MINUTES; SOAK_OUT names a file for the figures. At the end every answer was right, and nothing
is left: no task, no descriptor, no memory.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.soak.mixed.figures import figures, shown
from tests.soak.mixed.judge import Judge
from tests.soak.mixed.load import CLIENTS, Load
from tests.soak.mixed.scene import scene
from tests.soak.mixed.weather import Phase, phases

MINUTES = float(os.environ.get("SOAK_MINUTES") or 20)
# A shorter run ends before the caches are full, and its phases are short enough for one round.
LONG_ENOUGH = 10
ROUNDS = 3 if MINUTES >= LONG_ENOUGH else 1
# Seconds in which imports, pools and caches fill, and the first of everything is made.
WARM_UP = 10.0
# The gateway's own time limits, idle connections and leases end within.
SETTLES = 90.0
# Bytes over the last two thirds. What is bounded may still fill: what a tenant has stored waits in memory until the
# index has it, and what was deleted is remembered (4,096 entries of each, 7 MB, for each of two tenants); so are the
# texts and words that the guards have read (5 MB in all). The figures name them all, with their bounds.
GROWTH = 15_000_000

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


async def test_nothing_is_wrong_and_nothing_is_left(tmp_path, capsys):
    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="", flush=True)

    async with scene(tmp_path) as at:
        judge = Judge()
        warm, soak = Load(at, judge, 0, say), Load(at, judge, CLIENTS, say)
        await warm.run(WARM_UP, [Phase()])
        before = await at.calm_again(None, SETTLES)
        begun = monotonic()
        await soak.run(60 * MINUTES, phases() * ROUNDS)
        seconds = monotonic() - begun
        after = await at.calm_again(before, SETTLES)
        log = at.log()
    found = figures(seconds, soak.tally, soak.memory, before, after)
    say(shown(found))
    _write(found)
    assert judge.wrong + warm.tally.unexcused + soak.tally.unexcused == []
    assert after.more_than(before) == {}
    assert "Traceback" not in log
    assert "unexpected" not in log
    assert "was killed" not in (tmp_path / "said").read_text()
    assert MINUTES < LONG_ENOUGH or soak.memory.growth() < GROWTH


def _write(found: dict[str, Any]) -> None:
    if path := os.environ.get("SOAK_OUT"):
        Path(path).write_text(json.dumps(found, indent=2) + "\n")
