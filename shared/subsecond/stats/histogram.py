"""How long things take, in few numbers that can be added up across environments."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, log2

# Buckets to a doubling: each is 2 ** (1/8), 9 %, wider than the one before.
PER_DOUBLING = 8
# Milliseconds. What lies outside counts as the nearest that does not: 229 buckets at the most.
LEAST, MOST = 0.01, 3_600_000.0


def bucket_of(value: float) -> int:
    """The number of the bucket for `value` milliseconds: [2 ** (n/8), 2 ** ((n+1)/8))."""
    return floor(log2(min(max(value, LEAST), MOST)) * PER_DOUBLING)


class Histogram:
    """Counts in buckets of one ratio, for values from 0.01 ms to one hour.

    A quantile is wrong by at most 2 ** (1/16) - 1 = 4.5 % of the value that has its rank, whatever the distribution;
    `count` and `sum` are exact. Two histograms added are the histogram of all their values.
    """

    __slots__ = ("counts", "sum")

    def __init__(self, counts: Mapping[int, int] | None = None, total: float = 0.0) -> None:
        self.counts = dict(counts or {})
        self.sum = total

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def add(self, value: float) -> None:
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.sum += value

    def merge(self, other: Histogram) -> None:
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.sum += other.sum

    def quantile(self, share: float) -> float | None:
        """About the value that `share` (0 to 1) of all do not exceed (nearest rank); None when there is none."""
        rank = max(1, ceil(share * self.count))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                # The geometric middle: as far from one end of the bucket as from the other.
                return float(2.0 ** ((bucket + 0.5) / PER_DOUBLING))
        return None
