"""What hedging does to the tail, and how soon a slow model is left and found again, in virtual time.

    python -m tests.benchmarks.tails [--requests 20000] [--json]

The gateway's own code runs; the servers and the clock are made up, so the figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random

from subsecond.routing.attempts import answer
from subsecond.routing.health import Health, Prior
from subsecond.routing.hedging import Budget, Hedges
from subsecond.stats.trace import Trace
from subsecond.stores.memory.health import MemoryHealthStore
from tests.support import virtual
from tests.support.virtual_time import now, run

MEDIAN, SIGMA = 0.25, 0.5
STALLED, STALL = 0.02, 5.0
RATE = 10.0


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


def tail(requests, *, hedged, share=0.03, sigma=SIGMA, stalled=STALLED, seed=7):
    """First tokens of `requests` at ten a second, from two equivalent deployments with lognormal waits and stalls."""
    draw = random.Random(seed)

    def wait(_):
        return draw.lognormvariate(math.log(MEDIAN), sigma) + (STALL if draw.random() < stalled else 0.0)

    async def main():
        servers = [virtual.Server(wait, ("a",)) for _ in range(2)]
        known = virtual.health(interval=5.0)
        terms = virtual.terms(Hedges(Budget(share, 10), 0.97, tools=False) if hedged else None, known=known)
        found, arrivals, hedges = [], random.Random(seed + 1), 0

        async def one(at):
            nonlocal hedges
            trace = Trace()
            # The conversation decides which deployment is first.
            pair = [virtual.candidate(f"d{n}", servers[n], "g") for n in ((0, 1) if at % 2 else (1, 0))]
            _, _, first, _ = await virtual.collected(answer(pair, virtual.call(), trace, terms))
            found.append(first)
            hedges += trace.counts["hedges"]
            await known.flush()

        async with asyncio.TaskGroup() as group:
            for at in range(requests):
                group.create_task(one(at))
                await asyncio.sleep(arrivals.expovariate(RATE))
        assert sum(server.closed for server in servers) == requests + hedges
        return found, hedges

    found, hedges = run(main())
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p97": 0.97, "p99": 0.99, "p99.9": 0.999}
    return {"extra": hedges / requests, **{name: quantile(found, value) for name, value in shares.items()}}


def slowdown(environments=2, rate=2.0, factor=10.0, well=120.0, spell=180.0, after=90.0, seed=3):
    """Environments that share their figures and take the model with the best prediction. The better one slows down
    after `well` seconds, for `spell` seconds.

    left: requests from then on until no more than one in ten goes to it; found: seconds from its recovery until nine in
    ten do again; slow: requests that met it while it was slow.
    """
    draw = random.Random(seed)
    medians = {"near": 0.3, "far": 0.6}
    log = []

    async def main():
        store = MemoryHealthStore()
        begun = now()

        def wait(name):
            slow = name == "near" and well <= now() - begun < well + spell
            return draw.lognormvariate(math.log(medians[name]), SIGMA) * (factor if slow else 1)

        servers = {name: virtual.Server(lambda _, name=name: wait(name), ("a",)) for name in medians}
        priors = {name: Prior(median) for name, median in medians.items()}

        async def one(known):
            name = min(medians, key=lambda one: (known.circuit_open(one), known.predict(one).ttft_p50))
            log.append((now() - begun, name))
            terms = virtual.terms(known=known)
            await virtual.collected(answer([virtual.candidate(name, servers[name])], virtual.call(), Trace(), terms))
            await known.flush()

        async def environment(number):
            chance = random.Random(seed + number).random
            known = Health(store, priors, clock=now, ticks=now, chance=chance)
            async with asyncio.TaskGroup() as group:
                while now() - begun < well + spell + after:
                    group.create_task(one(known))
                    await asyncio.sleep(draw.expovariate(rate))

        await asyncio.gather(*(environment(number) for number in range(environments)))

    run(main())
    return judged(log, well, well + spell)


def judged(log, slow, recovered):
    spell = [(when, name == "near") for when, name in log if slow <= when < recovered]
    later = [(when - recovered, name == "near") for when, name in log if when >= recovered]
    left = next(at for at in range(len(spell)) if sum(near for _, near in spell[at : at + 20]) <= 2)
    found = next(when for at, (when, _) in enumerate(later) if sum(near for _, near in later[at : at + 20]) >= 18)
    before = [name == "near" for when, name in log if when < slow]
    return {
        "before": sum(before) / len(before),
        "left": left,
        "slow": sum(near for _, near in spell),
        "spell": len(spell),
        "found": found,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    tails = {
        "one call": tail(chosen.requests, hedged=False),
        "hedged, 3 %": tail(chosen.requests, hedged=True),
        "hedged, 1 %": tail(chosen.requests, hedged=True, share=0.01),
    }
    slowdowns = {
        "two environments, 4 requests/s": slowdown(),
        "ten environments, 4 requests/s": slowdown(environments=10, rate=0.4),
    }
    if chosen.json:
        print(json.dumps({"tails": tails, "slowdowns": slowdowns}, indent=2))
        return
    print("| first tokens, ms | p50 | p90 | p95 | p97 | p99 | p99.9 | extra calls |\n|---|---|---|---|---|---|---|---|")
    for name, row in tails.items():
        times = " | ".join(f"{row[each] * 1000:.0f}" for each in ("p50", "p90", "p95", "p97", "p99", "p99.9"))
        print(f"| {name} | {times} | {row['extra'] * 100:.2f} % |")
    print("\n| a tenfold slow-down | left after | slow calls in 3 minutes | found again after |\n|---|---|---|---|")
    for name, row in slowdowns.items():
        print(f"| {name} | {row['left']} requests | {row['slow']} of {row['spell']} | {row['found']:.0f} s |")


if __name__ == "__main__":
    main()
