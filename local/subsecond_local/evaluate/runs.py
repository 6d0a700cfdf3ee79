"""Runs the four evaluations for the command line: reads the file, returns report, text and picture."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from subsecond.semantic.verification.accuracy import Accuracy
from subsecond_local.evaluate import (
    decisions,
    repeats,
    rows,
    search,
    stream,
    sweep,
    verified_chart,
    verified_orders,
    verified_stream,
)
from subsecond_local.evaluate.decisions import Case, Tried
from subsecond_local.evaluate.figures import rounded
from subsecond_local.evaluate.line_chart import write
from subsecond_local.evaluate.neighbour_graph import NeighbourGraph
from subsecond_local.evaluate.progress import Bars
from subsecond_local.evaluate.repeats import Repeats
from subsecond_local.evaluate.scenarios import Scenario
from subsecond_local.evaluate.setting import Setting, closing
from subsecond_local.evaluate.sweep import Point
from subsecond_local.evaluate.trade_off_chart import Decider, TradeOff, chart_of
from subsecond_local.evaluate.verified_orders import Orders
from subsecond_local.evaluate.verified_stream import LabelJudge

Report: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """picture: where to draw it; None for none."""

    file: Path
    limit: int | None
    picture: Path | None


async def pairs(order: Order, setting: Setting, bars: Bars) -> Report:
    return await _decided(order, setting, bars, decisions.cases_of_pairs(rows.pairs(order.file, order.limit)))


async def conversations(order: Order, setting: Setting, bars: Bars) -> Report:
    found = rows.conversations(order.file, order.limit)
    return await _decided(order, setting, bars, decisions.cases_of_conversations(found))


async def streamed(order: Order, setting: Setting, bars: Bars) -> Report:
    questions = rows.questions(order.file, order.limit)
    async with closing(setting.embedder):
        vectors = await stream.embedded(questions, setting, bars)
        found = await stream.streamed(questions, setting, vectors, bars)
        ranked = await stream.ranked(questions, setting, vectors, bars)
        if order.picture:
            points = await stream.trade_off(questions, setting, vectors, bars)
            write(order.picture, chart_of(_stream_trade_off(order, setting, found, points)))
    return {"file": order.file.name, **setting.named(), **found.report(ranked), **_drawn(order.picture)}


async def verified(
    order: Order, setting: Setting, judge: LabelJudge, max_error: float, scenario: Scenario, bars: Bars
) -> Report:
    questions = scenario.changed(rows.questions(order.file, order.limit), Random(0))
    async with closing(setting.embedder):
        vectors = await stream.embedded(questions, setting, bars)
        found = await verified_stream.verified(questions, setting, vectors, judge, max_error, bars, scenario)
    if order.picture:
        write(order.picture, verified_chart.chart_of(found, order.file.name, setting.embedder.id))
    return {"file": order.file.name, **setting.named(), **found.report(), **_drawn(order.picture)}


async def ordered(
    order: Order, setting: Setting, judge: LabelJudge, max_error: float, orders: Orders, bars: Bars
) -> Report:
    questions, scenario = rows.questions(order.file, order.limit), orders.scenario
    async with closing(setting.embedder):
        vectors = await stream.embedded(scenario.all_of(questions), setting, bars)
        found = await verified_orders.played(questions, setting, vectors, judge, max_error, orders, bars)
    tried = {"seed": orders.seed, "judge_noise": [judge.on_wrong, judge.on_right], **scenario.named()}
    return {"file": order.file.name, **setting.named(), **tried, **verified_orders.report(found)}


async def repeated(order: Order, setting: Setting, max_error: float, tried: Repeats, bars: Bars) -> Report:
    questions = rows.questions(order.file, order.limit)
    cut = Accuracy.begin(max_error, verified_stream.cut_of(setting), trial=False).cut
    async with closing(setting.embedder):
        vectors = await stream.embedded(questions, setting, bars)
        graph = NeighbourGraph(questions, setting, vectors, bars)
    found = repeats.played(repeats.drawn(questions, tried), graph, cut, tried, bars)
    return {"file": order.file.name, **setting.named(), "cut": rounded(cut), "life": tried.life, **found.report()}


async def searched(count: int, setting: Setting, bars: Bars) -> Report:
    async with closing(setting.embedder):
        return {**setting.named(), **await search.measured(count, setting, bars=bars)}


RUNS: Mapping[str, Callable[[Order, Setting, Bars], Coroutine[Any, Any, Report]]] = {
    "pairs": pairs,
    "conversations": conversations,
    "stream": streamed,
}


async def _decided(order: Order, setting: Setting, bars: Bars, cases: Sequence[Case]) -> Report:
    async with closing(setting.embedder):
        tried = await decisions.tried(cases, setting, bars)
    report = tried.report()
    # With one label only there is no trade-off to draw.
    picture = order.picture if report["traps_answered"] is not None and report["hits_served"] is not None else None
    if picture:
        write(picture, chart_of(_decisions_trade_off(order, setting, tried, report)))
    return {"file": order.file.name, **setting.named(), **report, **_drawn(picture)}


def _drawn(picture: Path | None) -> Report:
    return {"picture": str(picture)} if picture else {}


def _decisions_trade_off(order: Order, setting: Setting, tried: Tried, report: Report) -> TradeOff:
    deciders = [Decider(f"{setting.name}, along its score", _without_refused(tried))]
    if any(one.score != one.similarity for one in tried.decisions):
        deciders.append(Decider("similarity alone", sweep.curve(tried.decisions, by_similarity=True)))
    return TradeOff(
        title=f"Hits served against traps answered: {order.file.name}",
        subtitle=f"{len(tried.decisions):,} rows, embedder {setting.embedder.id}",
        across="traps answered: share of the rows that must not be (label 0)",
        up="hits served: share of label 1",
        deciders=deciders,
        mark=(_name(setting), Point(setting.policy.cut, report["hits_served"], report["traps_answered"])),
    )


def _without_refused(tried: Tried) -> list[Point]:
    """The policy's curve without the lowest score, where several rows have it: a policy's for all that it refuses."""
    points = sweep.curve(tried.decisions)
    refused = bool(points) and sum(one.score == points[-1].cut for one in tried.decisions) > 1
    return points[:-1] if refused else points


def _stream_trade_off(order: Order, setting: Setting, found: stream.Streamed, points: Sequence[Point]) -> TradeOff:
    return TradeOff(
        title=f"Hit rate against error rate: {order.file.name}",
        subtitle=f"{found.n:,} questions in a row from an empty cache, embedder {setting.embedder.id}",
        across="error rate: wrong answers, of all requests",
        up="hit rate",
        deciders=[Decider(f"{setting.name}, a pass for each cut of its score", points)],
        mark=(_name(setting), Point(setting.policy.cut, found.hits / found.n, found.wrong / found.n)),
        least_width=0.02,
    )


def _name(setting: Setting) -> str:
    """The cuts that work: the policy's own, and a stricter similarity where that was asked for."""
    stricter = f", similarity from {setting.least:.2f}" if setting.least > setting.policy.floor else ""
    return f"{setting.name} as served, from {setting.policy.cut:.3g}{stricter}"
