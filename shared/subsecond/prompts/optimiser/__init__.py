"""Fewer tokens, same meaning. `optimise` is the whole of it; docs/optimiser.md tells the levels and their limits."""

from subsecond.prompts.optimiser.optimise import Optimiser, optimise
from subsecond.prompts.optimiser.plan import HEADER, Level, Plan, plan_for
from subsecond.prompts.optimiser.report import Report, Rule, cached_tokens
from subsecond.prompts.optimiser.tokens import Correction, Tokens

__all__ = [
    "HEADER",
    "Correction",
    "Level",
    "Optimiser",
    "Plan",
    "Report",
    "Rule",
    "Tokens",
    "cached_tokens",
    "optimise",
    "plan_for",
]
