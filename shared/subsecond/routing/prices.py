"""What tokens cost, by the catalogue's prices of today: money is worked out when somebody asks, not when it is spent.

Prices are for a million tokens, in any one currency, and so are the sums in that currency.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from subsecond.errors import Unavailable
from subsecond.routing.catalogue import VARIABLE, load

# By a model's name: for a million tokens of the prompt, and of the completion.
Prices: TypeAlias = Mapping[str, tuple[float, float]]

MILLION = 1_000_000
# What providers put behind a name: `-2024-08-06`, `@20240806`, `-001`.
VERSION = re.compile(r"[-@:]v?\d[\d.-]*")


async def prices_of(catalogue: str) -> Prices:
    """Of the setting `catalogue`. Empty where there is none, or it cannot be read now."""
    if not catalogue:
        return {}
    try:
        return await asyncio.to_thread(_read, catalogue)
    except (ValueError, Unavailable):
        return {}


def check_prices(catalogue: str) -> None:
    """At the start, where statistics would only lack their money. ValueError says what is wrong with the setting."""
    try:
        _read(catalogue)
    except ValueError as error:
        raise ValueError(str(error).replace(VARIABLE, "SUBSECOND_PRICES", 1)) from None


@lru_cache(maxsize=4)
def _read(catalogue: str) -> Prices:
    found = load(catalogue)
    prices: dict[str, tuple[float, float]] = {}
    for model in found.models.values() if found else ():
        if model.price_in or model.price_out:
            price = (model.price_in, model.price_out)
            prices[model.name] = price
            prices.setdefault(model.served or model.name, price)
    return prices


def price_of(model: str, prices: Prices) -> tuple[float, float] | None:
    """By its name, or by the name that it is a version of."""
    if model in prices:
        return prices[model]
    versions = [name for name in prices if model.startswith(name) and VERSION.fullmatch(model, len(name))]
    return prices[max(versions, key=len)] if versions else None


def money(models: Mapping[str, Any], prices: Prices) -> dict[str, Any] | None:
    """What was spent and saved; None without prices. models: as a summary has them. unpriced_tokens: of models whose
    price is not known."""
    if not prices:
        return None
    sums = {"upstream": 0.0, "saved": 0.0}
    unpriced = 0
    for model, found in models.items():
        price = price_of(model, prices)
        for kind in sums:
            tokens = found["tokens"][kind]
            if price is None:
                unpriced += tokens["prompt"] + tokens["completion"]
            else:
                sums[kind] += (tokens["prompt"] * price[0] + tokens["completion"] * price[1]) / MILLION
    return {"spent": round(sums["upstream"], 6), "saved": round(sums["saved"], 6), "unpriced_tokens": unpriced}
