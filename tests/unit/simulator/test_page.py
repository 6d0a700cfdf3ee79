"""docs/simulator.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from subsecond_local.simulator import server
from subsecond_local.simulator.names import DEFAULTS, profile

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")


def test_every_fault_has_its_row_and_its_number():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| \S", PAGE, re.MULTILINE)
    assert {name: int(number) for name, number in rows} == DEFAULTS
    assert len(rows) == len(DEFAULTS)


def test_every_name_in_it_is_a_model():
    names = re.findall(r"`(sim-[\w-]+)`", PAGE)
    assert len(names) > 4
    assert all(profile(name).tokens for name in names)
    assert profile("sim-t5-i1-n8-fstatus429-fafter0").faults == {"status": 429, "after": 0}
    assert "sim-t5-i1-n8-fstatus429-fafter0" in names


def test_every_route_is_in_it():
    routes = {*server.METHODS, *(path.rstrip("/") for path in server.OBJECTS)} - {"/health"}
    assert {route for route in routes if f"{route.removeprefix('/v1')}" not in PAGE} == set()
