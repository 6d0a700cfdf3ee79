"""Fits the token estimate: `python training/fit_tokens.py CORPUS NAME=TOKENIZER... [--check]`. Prints Markdown.

CORPUS: a folder with a folder of text files for each kind: `prose-*`, `code-*`, `cjk-*`, `latin-*`, `data-*`, ...
TOKENIZER: a `.tiktoken` file of the o200k or cl100k family, or a `tokenizer.json`. Every second file of a kind is held
out; the errors are theirs. Without `--check`, `optimiser/data/tokens.json` is written anew. With
`--words O200K` the known words and characters are, from that `.tiktoken` file, and nothing else: do that first.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, quantiles
from typing import TypedDict

import numpy as np

from subsecond.optimiser.estimate import HAN, TABLES, WORDS, Estimator, gaps, pieces
from subsecond.optimiser.tokenizers import load, vocabulary

# One token each, and what a prompt is made of.
WORD = re.compile(rb"[ !-/:-@\[-`{-~]?(?:[a-z]{2,}|[A-Z][a-z]+|[A-Z]{2,})(?:'[a-z]+)?| ?[!-/:-@\[-`{-~]{2,}")
CHARACTERS = re.compile("[\u3400-\u9fff]{2,4}|[\u3040-\u30ff]{2,4}")
MOST_COMMON = 60_000
LONGEST = 24  # pieces longer than this are charged by the character
Count = Callable[[str], int]


class Table(TypedDict):
    pieces: dict[str, list[float]]
    gaps: list[float]


def main() -> None:
    options = _options()
    if options.words:
        write_words(options.words)
        return
    train, held = _corpus(options.corpus)
    tables = {} if options.check else {name: fitted(load(path).count, train) for name, path in options.tokenizers}
    if tables:
        TABLES.write_text(json.dumps(tables, separators=(",", ":")) + "\n")
    known = tables or json.loads(TABLES.read_text())
    for name, path in options.tokenizers:
        report(name, load(path).count, Estimator(known[name]), held)


def write_words(path: Path) -> None:
    """The first tokens of a vocabulary that are words or signs; and all that are one Chinese character."""
    tokens = vocabulary(path)
    found = {token for token in tokens[:MOST_COMMON] if WORD.fullmatch(token)}
    found = sorted(found | {token for token in tokens if CHARACTERS.fullmatch(token.decode(errors="replace"))})
    WORDS.write_bytes(gzip.compress(b"\n".join(found), 9, mtime=0))
    texts = (token.decode(errors="ignore") for token in tokens)
    HAN.write_text("".join(sorted({text for text in texts if len(text) == 1 and "\u3400" <= text <= "\u9fff"})) + "\n")


def fitted(count: Count, corpus: Mapping[str, list[str]]) -> Table:
    """Mean tokens of a piece by its class and length; then what white space adds, by least squares on the rest."""
    sums: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    memo: dict[str, int] = {}
    for kind, texts in corpus.items():
        seen = Counter(piece for text in texts for chunk in text.split() for piece in pieces(chunk))
        # Prose and code weigh the same, whatever there is of each.
        weight = 1e6 * _weight(kind) / max(1, sum(map(len, texts)))
        for (name, piece), times in seen.items():
            if piece not in memo:
                memo[piece] = count(piece)
            cell = sums[name][min(len(piece), LONGEST)]
            tokens = memo[piece] * min(1.0, LONGEST / len(piece))
            cell[0] += weight * times * tokens
            cell[1] += weight * times
    table: Table = {"pieces": {name: _row(cells) for name, cells in sums.items()}, "gaps": []}
    table["gaps"] = _gap_costs(count, table, corpus)
    return table


def _row(cells: Mapping[int, list[float]]) -> list[float]:
    """Mean tokens by length, from 1; a length with little behind it follows its shorter neighbour's rate."""
    row = [cells[1][0] / cells[1][1] if cells.get(1) else 1.0]
    for length in range(2, LONGEST + 1):
        total, weight = cells.get(length, (0.0, 0.0))
        prior = row[-1] * length / (length - 1)
        strength = 20.0
        row.append(round((total + strength * prior) / (weight + strength), 4))
    row[0] = round(row[0], 4)
    return row


def _gap_costs(count: Count, table: Table, corpus: Mapping[str, list[str]]) -> list[float]:
    words_only = Estimator({**table, "gaps": [0.0] * len(gaps(""))})
    rows, rest = [], []
    for kind, texts in corpus.items():
        for text in texts:
            scale = _weight(kind) / (len(texts) * len(text)) ** 0.5
            rows.append([scale * n for n in gaps(text)])
            rest.append(scale * (count(text) - words_only.count(text)))
    found, *_ = np.linalg.lstsq(np.array(rows), np.array(rest), rcond=None)
    return [round(float(cost), 4) for cost in found]


def report(name: str, count: Count, estimator: Estimator, held: Mapping[str, list[str]]) -> None:
    print(f"\n{name}\n\n| kind | files | tokens | error of the sum | mean error of a file | 95 % of files within |")
    print("| --- | --- | --- | --- | --- | --- |")
    groups: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for kind, texts in sorted(held.items()):
        rows = [(count(text), estimator.count(text)) for text in texts]
        groups[f"**{kind.split('-')[0]}**"] += rows
        _line(kind, rows)
    for kind, rows in groups.items():
        _line(kind, rows)


def _line(kind: str, rows: list[tuple[int, float]]) -> None:
    real, guess = sum(row[0] for row in rows), sum(row[1] for row in rows)
    errors = [abs(row[1] - row[0]) / row[0] for row in rows]
    within = quantiles(errors, n=20)[-1] if len(errors) > 1 else errors[0]
    print(f"| {kind} | {len(rows)} | {real:,} | {guess / real - 1:+.1%} | {fmean(errors):.1%} | {within:.1%} |")


def _weight(kind: str) -> float:
    return {"prose": 3.0, "code": 3.0, "cjk": 1.0, "latin": 0.5}.get(kind.split("-", maxsplit=1)[0], 0.3)


def _corpus(folder: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    train: dict[str, list[str]] = {}
    held: dict[str, list[str]] = {}
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        texts = [path.read_text() for path in sorted(kind.glob("*.txt"))]
        random.Random(kind.name).shuffle(texts)
        held[kind.name], train[kind.name] = texts[::2], texts[1::2]
    return train, held


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("tokenizers", nargs="*", type=lambda text: (text.split("=")[0], Path(text.split("=", 1)[1])))
    parser.add_argument("--words", type=Path)
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
