"""The table of pairs, judged as a gateway with no settings but the policy's own would: a rate for each kind of
difference, and no kind may become worse.

`limits.tsv` holds what was measured: how many traps of a kind were answered, and how many of its hits. Whoever makes a
kind better writes the new figures there, so that they stay: `python tests/unit/guards/test_pairs.py` does it.
"""

import asyncio
import csv
import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from subsecond_local.evaluate import decisions, rows, setting, tables

DATA = Path(__file__).parents[2] / "data" / "pairs"
PAIRS, LIMITS = DATA / "pairs.jsonl", DATA / "limits.tsv"
# Written when the rules had been changed for the pairs above, and read once: traps answered at most, hits served at
# least. Nothing is fitted to these rows. Whoever does so has no honest figure left.
HELD, HELD_TRAPS, HELD_HITS = DATA / "held.jsonl", 9, 121
LANGUAGES = ("en", "de", "es", "fr", "pt", "it")
COLUMNS = ("of", "traps", "traps answered at most", "hits", "hits served at least")


def judge(path=PAIRS):
    """Each row of the file with what became of it."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    default = setting.chosen({})
    tried = asyncio.run(decisions.tried(decisions.cases_of_pairs(rows.pairs(path)), default))
    # Shown where a test fails, and with `pytest -rP`.
    print(tables.decided({"file": path.name, **default.named(), **tried.report()}))
    return list(zip(lines, tried.decisions, strict=True))


@pytest.fixture(scope="module")
def judged():
    return judge()


@pytest.fixture(scope="module")
def limits():
    with LIMITS.open(encoding="utf-8", newline="") as file:
        return {row["of"]: row for row in csv.DictReader(file, delimiter="\t")}


def groups(judged):
    """By kind, and by language: a kind must not pay for another, nor a language."""
    found = defaultdict(list)
    for line, decision in judged:
        found[line["kind"]].append((line, decision))
        found[line["language"]].append((line, decision))
    return found


def texts(group, *, label, answered):
    return [
        f"{line['query_a']!r} -> {line['query_b']!r}: {', '.join(one.reasons)}"
        for line, one in group
        if (one.label, one.answered) == (label, answered)
    ]


def counts(group):
    """A row of `limits.tsv`, without its name."""
    for label in (False, True):
        yield sum(one.label is label for _, one in group)
        yield len(texts(group, label=label, answered=True))


def test_every_kind_and_language_has_its_limits(judged, limits):
    sizes = {name: [str(count) for count in counts(group)][::2] for name, group in groups(judged).items()}
    assert sizes == {name: [row["traps"], row["hits"]] for name, row in limits.items()}


def test_no_kind_answers_more_traps_than_it_did(judged, limits):
    wrong = {name: texts(group, label=False, answered=True) for name, group in groups(judged).items()}
    worse = {name: rows for name, rows in wrong.items() if len(rows) > int(limits[name]["traps answered at most"])}
    assert not worse, json.dumps(worse, indent=2, ensure_ascii=False)


def test_no_kind_serves_fewer_hits_than_it_did(judged, limits):
    right = Counter({name: len(texts(group, label=True, answered=True)) for name, group in groups(judged).items()})
    worse = {
        name: texts(group, label=True, answered=False)
        for name, group in groups(judged).items()
        if right[name] < int(limits[name]["hits served at least"])
    }
    assert not worse, json.dumps(worse, indent=2, ensure_ascii=False)


def test_the_table_is_wide_enough_and_asks_no_question_twice(judged):
    lines = [line for line, _ in judged]
    labels = Counter(line["label"] for line in lines)
    assert abs(labels[0] - labels[1]) <= 1
    assert len({line["kind"] for line in lines}) >= 35
    assert all(line["query_a"] != line["query_b"] for line in lines)
    assert len({(line["query_a"], line["query_b"]) for line in lines}) == len(lines) == 697


def test_what_nothing_was_fitted_to_becomes_no_worse_either(judged):
    held = judge(HELD)
    pairs = [{(line["query_a"], line["query_b"]) for line, _ in rows} for rows in (held, judged)]
    assert not pairs[0] & pairs[1]
    assert len(texts(held, label=False, answered=True)) <= HELD_TRAPS
    assert len(texts(held, label=True, answered=True)) >= HELD_HITS


def write():
    """The limits as they are measured now, for who has made a kind better."""
    found = groups(judge())
    names = [*sorted(found.keys() - set(LANGUAGES)), *LANGUAGES]
    table = [COLUMNS, *((name, *counts(found[name])) for name in names)]
    LIMITS.write_text("".join("\t".join(map(str, row)) + "\n" for row in table), "utf-8")


if __name__ == "__main__":
    write()
