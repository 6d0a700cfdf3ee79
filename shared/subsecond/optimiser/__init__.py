"""Fewer tokens, same meaning. `optimise` is the whole of it; docs/optimiser.md tells the levels and their limits."""

from subsecond.optimiser.optimise import Optimiser, optimise
from subsecond.optimiser.plan import HEADER, Level, OptimiserPlan, plan_for
from subsecond.optimiser.report import OptimiserReport, cached_tokens
from subsecond.optimiser.tokens import Correction, Tokens

__all__ = [
    "HEADER",
    "Correction",
    "Level",
    "Optimiser",
    "OptimiserPlan",
    "OptimiserReport",
    "Tokens",
    "cached_tokens",
    "optimise",
    "plan_for",
]
