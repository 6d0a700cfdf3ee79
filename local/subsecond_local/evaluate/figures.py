"""Shares and their intervals, and the report of many decisions. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from subsecond_local.evaluate.sweep import Decision, Interval, areas, recall_at

# 95 % of a normal distribution lie within so many standard deviations.
Z = 1.959964
# The precisions at which `recall_at_p80` and `recall_at_p90` are read.
PRECISIONS = (0.8, 0.9)


def rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def finite(score: float | None) -> float | None:
    """For JSON, which has no infinity: None also for an exact repeat."""
    return None if score is None or math.isinf(score) else round(score, 4)


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def wilson(part: int, whole: int) -> Interval:
    """The 95 % interval of part / whole (Wilson's score interval: sound near 0 and 1, and for few rows)."""
    if not whole:
        return None
    share, spread = part / whole, Z * Z / whole
    middle = share + spread / 2
    half = Z * math.sqrt(share * (1 - share) / whole + spread / whole / 4)
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return round(max(0.0, low), 4), round(min(1.0, high), 4)


def report(decisions: Sequence[Decision]) -> dict[str, Any]:
    """hits_served: share of label 1 answered. traps_answered: share of label 0 answered. Shares of nothing are None."""
    hits, traps = _counted(decisions, label=True), _counted(decisions, label=False)
    answered = hits[0] + traps[0]
    along, intervals = along_score(decisions)
    return {
        "n": len(decisions),
        "hits_served": rounded(ratio(*hits)),
        "traps_answered": rounded(ratio(*traps)),
        "precision": rounded(ratio(hits[0], answered)),
        "recall": rounded(ratio(*hits)),
        **along,
        "by_kind": by_kind(decisions),
        "intervals": {
            "hits_served": wilson(*hits),
            "traps_answered": wilson(*traps),
            "precision": wilson(hits[0], answered),
            "recall": wilson(*hits),
            **intervals,
        },
    }


def along_score(decisions: Sequence[Decision]) -> tuple[dict[str, float | None], dict[str, Interval]]:
    """What the score is worth at other cuts than the policy's: the recall at two precisions and its cut, the areas of
    `sweep.Areas`; and the intervals."""
    found: dict[str, float | None] = {}
    intervals: dict[str, Interval] = {}
    for precision in PRECISIONS:
        best, name = recall_at(decisions, precision), f"p{100 * precision:.0f}"
        found[f"recall_at_{name}"] = None if best.interval is None else rounded(best.recall)
        found[f"score_at_{name}"] = best.cut
        intervals[f"recall_at_{name}"] = best.interval
    under = areas(decisions)
    for place, name in enumerate(("pr_auc", "p_chr_auc", "calibration_retention")):
        found[name] = None if under is None else rounded(getattr(under, name))
        intervals[name] = None if under is None else under.intervals[place]
    found["p_chr_auc_at_most"] = None if under is None else rounded(under.p_chr_auc_at_most)
    return found, intervals


def by_kind(decisions: Iterable[Decision]) -> dict[str, dict[str, Any]]:
    """Of the rows that name their kind: how many, the label, the share answered and its interval."""
    groups: dict[tuple[str, bool], list[Decision]] = defaultdict(list)
    for one in decisions:
        if one.kind:
            groups[one.kind, one.label].append(one)
    labels = defaultdict(set)
    for kind, label in groups:
        labels[kind].add(label)
    found = {}
    for (kind, label), group in sorted(groups.items()):
        counted = _counted(group, label=label)
        name = kind if len(labels[kind]) == 1 else f"{kind}/{int(label)}"
        found[name] = {
            "n": len(group),
            "label": int(label),
            "answered": rounded(ratio(*counted)),
            "interval": wilson(*counted),
        }
    return found


def _counted(decisions: Iterable[Decision], *, label: bool) -> tuple[int, int]:
    """How many with this label were answered, and how many there are."""
    answers = [one.answered for one in decisions if one.label is label]
    return sum(answers), len(answers)
