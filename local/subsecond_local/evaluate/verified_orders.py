"""`verified` over many orders of the same questions: how often the bound holds, and how often what is told is true.

One order says little: the bound is a share of some hundred hits. Orders differ by a seed, and so do the judge's errors
and what is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean
from typing import TYPE_CHECKING, Any

from subsecond.semantic.verification.verified import Verified
from subsecond_local.evaluate.figures import rounded, wilson
from subsecond_local.evaluate.neighbour_graph import KnownAnswers, NeighbourGraph
from subsecond_local.evaluate.progress import Bars, silent
from subsecond_local.evaluate.rows import Question
from subsecond_local.evaluate.scenarios import Scenario
from subsecond_local.evaluate.setting import Setting
from subsecond_local.evaluate.verified_stream import LabelJudge, Loop, VerifiedStream, cut_of

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector


@dataclass(frozen=True, slots=True)
class Orders:
    """How many, from which seed, and what happens half-way through each."""

    count: int
    seed: int
    scenario: Scenario


async def played(
    questions: Sequence[Question],
    setting: Setting,
    vectors: Mapping[str, Vector],
    judge: LabelJudge,
    max_error: float,
    orders: Orders,
    bars: Bars = silent,
) -> list[VerifiedStream]:
    """A pass for each order."""
    scenario = orders.scenario
    cut, share = cut_of(setting), setting.settings.check_share
    graph = NeighbourGraph(scenario.all_of(questions), setting, vectors, bars)
    found = []
    with bars("orders", orders.count) as bar:
        for number in range(orders.count):
            seed = f"{orders.seed}:{number}"
            rows = scenario.order(questions, Random(seed))
            learned = Verified(max_error, cut, setting.embedder.dim, trial=scenario.trial)
            loop = Loop(KnownAnswers(graph, learned), replace(judge, seed=seed), learned, len(rows), share)
            found.append(await loop.run(rows, scenario))
            bar.advance()
    return found


def report(found: Sequence[VerifiedStream]) -> dict[str, Any]:
    """Over all orders. bound_held: the share in which no more of the semantic hits were wrong than the bound allows.
    interval_covered: in which the told interval had the true share at the end; at all looks: `..._always`. exact_only:
    in which the serving of similar questions ended. hits_after_worse: semantic hits from where the policy was made
    worse to that end."""
    held = sum(one.wrong_share <= one.learned.bound for one in found)
    covered = sum(one.wrong_share in one.learned.told for one in found)
    always = sum(all(look.covered for look in one.course) for one in found)
    ended = sum(one.exact_only_from is not None for one in found)
    count = len(found)
    return {
        "n": found[0].n,
        "orders": count,
        "max_error": found[0].learned.bound,
        "bound_held": rounded(held / count),
        "interval_covered": rounded(covered / count),
        "interval_covered_always": rounded(always / count),
        "exact_only": rounded(ended / count),
        "hit_rate": spread([len(one.hits) / one.n for one in found]),
        "false_hit_rate": spread([one.wrong_share for one in found]),
        "judge_call_rate": spread([one.judge_calls / one.n for one in found]),
        "retreats": spread([len(one.retreats) for one in found]),
        "checked": spread([one.learned.checked.n for one in found]),
        "told_at_most": spread([one.learned.told.high for one in found]),
        "oos_answered": spread([one.oos_share for one in found]) if found[0].oos_rows else None,
        "hits_after_worse": spread([one.hits_after_worse for one in found]) if found[0].careless_from else None,
        "intervals": {"bound_held": wilson(held, count), "interval_covered": wilson(covered, count)},
    }


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, least, most, and the value below which 95 % lie."""
    ranked = sorted(values)
    p95 = ranked[math.ceil(0.95 * len(ranked)) - 1]
    return {
        "mean": rounded(fmean(values)),
        "least": rounded(ranked[0]),
        "p95": rounded(p95),
        "most": rounded(ranked[-1]),
    }
