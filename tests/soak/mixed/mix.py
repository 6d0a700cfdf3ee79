"""How often each thing is done."""

from __future__ import annotations

from tests.soak.mixed import control, lists, objects, traffic
from tests.soak.mixed.client import Kind

KINDS: dict[Kind, int] = {
    traffic.hit: 200, traffic.private: 60, traffic.semantic: 120, traffic.side_by_side: 60, traffic.miss: 100,
    traffic.joined: 30, traffic.cut: 60, traffic.gone: 60, traffic.slow: 15, traffic.pipelined: 40,
    traffic.broken: 30, traffic.huge: 4, traffic.faulty: 60,
    lists.embeddings: 80, lists.batch: 60, objects.kept: 30,
    control.delete: 12, control.report: 30, control.look: 30,
}  # fmt: skip
