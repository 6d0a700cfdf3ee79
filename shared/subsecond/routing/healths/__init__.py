"""Where environments tell each other how the models do. One file for each store, with `build(settings)`.

Figures are sums by name (`MODEL|KIND|BUCKET`, see `routing/records.py`), kept by time slice. Environments only add.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

# Seconds for which a slice can at least be read. What is older than that counts nothing (see `routing/health.py`).
KEPT = 600.0

Figures = Mapping[str, int]


class Healths(Protocol):
    """May raise what the store's library raises."""

    async def share(self, slice_: int, figures: Figures, oldest: int) -> Mapping[int, Figures]:
        """Add `figures` to those of `slice_`; then the figures of all environments, by slice, from `oldest` to it.

        One write and one read, whatever the number of models (past 100 figures, one more write for each 100).
        """
