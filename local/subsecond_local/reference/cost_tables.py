"""The tables of cost in docs/operations.md, from prices and assumptions that stand here: `make docs` writes them.

What a request takes of DynamoDB is counted in docs/flights.md and docs/cache-control.md; the lines of the log were
measured; times and sizes are assumptions, because nothing here has run on AWS yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import wrap

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"
BEGIN, END = "<!-- costs: written by `make docs` -->\n", "<!-- end of costs -->\n"
MILLION, GB = 1e6, 1e9


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices of us-east-1, arm64, without free tiers, in US dollars. November 2026."""

    request: float = 0.20 / MILLION
    gb_second: float = 0.0000133334
    write_unit: float = 0.625 / MILLION
    read_unit: float = 0.125 / MILLION
    log_gb: float = 0.50
    put: float = 5.0 / MILLION
    # To the internet. Nothing to callers in the same region.
    egress_gb: float = 0.09


@dataclass(frozen=True, slots=True)
class Assumptions:
    """memory: GB. Seconds of a run of the function. Bytes: of a reply of 300 tokens as events (200 to 290 bytes each)
    and in one piece; of an error. log: a request's two lines (982 and 477 bytes) and the platform's own."""

    memory: float = 1.0
    hit: float = 0.015
    similar: float = 0.030
    miss: float = 2.0
    refused: float = 0.005
    streamed: float = 75_000
    whole: float = 3_000
    error: float = 400
    log: float = 982 + 477 + 600
    # An indexer's run: seconds, writes to the bucket; answers that it takes in, with traffic and without.
    run: float = 0.150
    run_writes: int = 3
    busy: int = 10
    quiet: int = 1
    # Tokens in and out of a request, and the model's price for a million of each.
    tokens: tuple[int, int] = (300, 300)
    model: tuple[float, float] = (0.15, 0.60)


@dataclass(frozen=True, slots=True)
class Row:
    """A million requests of one kind, in dollars."""

    name: str
    function: float
    tables: float
    logs: float
    streamed: float
    whole: float
    rest: float = 0.0

    @property
    def as_stream(self) -> float:
        return self.function + self.tables + self.logs + self.rest + self.streamed

    @property
    def in_one_piece(self) -> float:
        return self.as_stream - self.streamed + self.whole


def rows(prices: Prices, assumed: Assumptions) -> list[Row]:
    """Exact hits, semantic hits, misses, and requests without a valid key."""

    def row(name: str, seconds: float, units: tuple[float, float], sizes: tuple[float, float]) -> Row:
        reads, writes = units
        streamed, whole = (MILLION * size / GB * prices.egress_gb for size in sizes)
        return Row(
            name,
            MILLION * (prices.request + seconds * assumed.memory * prices.gb_second),
            MILLION * (reads * prices.read_unit + writes * prices.write_unit),
            MILLION * assumed.log / GB * prices.log_gb,
            streamed,
            whole,
        )

    sizes = assumed.streamed, assumed.whole
    miss = row(f"misses that take {assumed.miss:g} s", assumed.miss, (0.5, 5), sizes)
    return [
        row(f"exact hits ({assumed.hit * 1000:.0f} ms)", assumed.hit, (0.5, 0), sizes),
        row(f"semantic hits ({assumed.similar * 1000:.0f} ms)", assumed.similar, (2.5, 3), sizes),
        replace(miss, rest=indexing(prices, assumed, assumed.busy)),
        row("requests without a key", assumed.refused, (0.5, 0), (assumed.error, assumed.error)),
    ]


def indexing(prices: Prices, assumed: Assumptions, answers: int) -> float:
    """A million answers into the index, so many in a run."""
    one = prices.request + assumed.run * assumed.memory * prices.gb_second + assumed.run_writes * prices.put
    return MILLION / answers * one


def tables() -> str:
    """Both tables, and what they are made from."""
    prices, assumed = Prices(), Assumptions()
    found = rows(prices, assumed)
    quiet = indexing(prices, assumed, assumed.quiet) - found[2].rest
    words = (
        f"A reply of {assumed.tokens[1]} tokens is about {assumed.streamed / 1000:.0f} KB as a stream and "
        f"{assumed.whole / 1000:.0f} KB in one piece; to callers in the same region its way costs nothing. A request "
        f"writes {assumed.log / 1000:.1f} KB of log, Lambda's own lines among them. The rest of a miss is indexing, "
        f"{assumed.busy} answers in a run ({assumed.run * 1000:.0f} ms, {assumed.run_writes} writes to the bucket); "
        f"with so little traffic that each answer is a run of its own, it is ${quiet:.1f} more. A request without a "
        "key costs an invocation, a key's look-up and its lines in the log."
    )
    return "\n".join([*_of_requests(found), "", *wrap(words, 120), "", *_of_shares(found, assumed), ""])


def _of_requests(found: Sequence[Row]) -> list[str]:
    lines = [
        "| a million | Lambda | DynamoDB | logs | rest | sent as a stream | **sum** | sent in one piece | **sum** |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        parts = (one.function, one.tables, one.logs, one.rest, one.streamed, one.as_stream, one.whole, one.in_one_piece)
        cells = [f"${part:.2f}" if part < 10 else f"${part:.1f}" for part in parts]  # noqa: PLR2004 -- two digits behind
        cells[5], cells[7] = f"**{cells[5]}**", f"**{cells[7]}**"
        lines.append(f"| {one.name} | {' | '.join(cells)} |")
    return lines


def _of_shares(found: Sequence[Row], assumed: Assumptions) -> list[str]:
    """What the gateway and the model cost together, by the share of exact hits."""
    (asked, told), (of_in, of_out) = assumed.tokens, assumed.model
    model = asked * of_in + told * of_out
    exact, _, miss, _ = found
    named = f"the model at ${model:.0f} a million ({asked} tokens in at ${of_in:.2f}, {told} out at ${of_out:.2f})"
    lines = [f"| exact hits | gateway, a million streams | {named} | together | saved |", "|---:|---:|---:|---:|---:|"]
    for share in (0.0, 0.15, 0.3, 0.6, 0.9):
        gateway = share * exact.as_stream + (1 - share) * miss.as_stream
        left = (1 - share) * model
        saved = model - gateway - left
        sign = "-" if saved < 0 else ""
        cells = f"{100 * share:.0f} %", f"${gateway:.0f}", f"${left:.0f}", f"${gateway + left:.0f}"
        lines.append(f"| {' | '.join(cells)} | {sign}${abs(saved):.0f} |")
    even, dear = (miss.as_stream / (price + miss.as_stream - exact.as_stream) for price in (model, 10 * model))
    words = (
        f"So with a cheap model it pays from {100 * even:.0f} % of hits on; with one that costs ten times as much, "
        f"from {100 * dear:.1f} %. That counts money only, and not the seconds that the users did not wait."
    )
    return [*lines, "", *wrap(words, 120)]


def written(page: str) -> str:
    """The page with the tables in their place."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + tables() + END + rest.split(END)[1]


def main() -> None:
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
