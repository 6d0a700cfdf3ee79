"""What the pages for readers name is there: files, settings, links."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from subsecond.config import Settings
from subsecond.setting_values import OF_A_KEY, PREFIX, choices
from subsecond_local.reference import cost_tables, settings_page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
# Where a path in a sentence may begin. A file's name alone may be anywhere in what is ours.
BASES = ("", "shared", "shared/subsecond", "local", "local/subsecond_local", "tests")
OURS = ("shared", "local", "functions", "training", "tests")
# No paths of this repository: GPTCache's file, and a prefix in the bucket.
ELSEWHERE = {"examples/benchmark/mock_data.json", "answers/"}
# Read by a run alone, or by nothing of ours: a variable of an example's shell.
NO_SETTINGS = {"SUBSECOND_DATA", "SUBSECOND_LOCAL_DELAYS", "SUBSECOND_URL"}
FILES = re.compile(r"`((?:[\w.*-]+/)+(?:[\w*.-]+\.\w+)?|[\w*]+\.py)`")
NAMES = re.compile(r"\bSUBSECOND_[A-Z_]*[A-Z]\b")
VALUES = re.compile(rf"\b{PREFIX}([A-Z_]+)=([a-z_]+)")
TESTS = re.compile(r"`((?:\w+/)+test_\w+)::(test_\w+)`")
LINKS = re.compile(r"\]\(([^)\s]+)\)")
SETTINGS = {PREFIX + field.name.upper() for field in fields(Settings)} | {"SUBSECOND_SETTINGS"}


def _is_there(name: str) -> bool:
    if "/" in name:
        return any(any((ROOT / base).glob(name)) for base in BASES)
    return any(any((ROOT / folder).rglob(name)) for folder in OURS)


def _missing_files(text: str) -> list[str]:
    return sorted(name for name in set(FILES.findall(text)) - ELSEWHERE if not _is_there(name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_are_there(page: Path) -> None:
    assert _missing_files(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_named_are_settings(page: Path) -> None:
    assert set(NAMES.findall(page.read_text(encoding="utf-8"))) - SETTINGS - NO_SETTINGS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_values_named_are_choices(page: Path) -> None:
    for name, value in VALUES.findall(page.read_text(encoding="utf-8")):
        if found := choices(name.lower()):
            assert value in {choice.partition(":")[0] for choice in found}, f"{name}={value}"


def test_the_page_of_settings_is_the_one_that_the_code_makes() -> None:
    assert settings_page.PAGE.read_text(encoding="utf-8") == settings_page.page(), "make docs"


def test_the_tables_of_cost_are_those_that_are_reckoned() -> None:
    page = cost_tables.PAGE.read_text(encoding="utf-8")
    assert cost_tables.written(page) == page, "make docs"


def test_costs_are_what_a_hand_would_reckon() -> None:
    hits, similar, misses, strangers = cost_tables.rows(cost_tables.Prices(), cost_tables.Assumptions())
    # 0.20 + 15 ms of 1 GB; half a read unit; 2.06 KB of log; 3 KB, or 75 KB, to the internet.
    assert hits.in_one_piece == pytest.approx(0.20 + 0.20 + 0.0625 + 1.03 + 0.27, abs=0.01)
    assert hits.as_stream == pytest.approx(hits.in_one_piece - 0.27 + 6.75)
    assert similar.tables == pytest.approx(2.5 * 0.125 + 3 * 0.625)
    # Ten answers in a run: 0.02 + 0.20 + 1.50.
    assert misses.rest == pytest.approx(1.72, abs=0.01)
    assert misses.function == pytest.approx(0.20 + 26.67, abs=0.01)
    assert strangers.in_one_piece == pytest.approx(1.4, abs=0.05)


def test_the_page_of_settings_has_a_row_with_a_reader_for_each_and_words_above_it() -> None:
    tables = settings_page.page().split("\n| setting |")
    rows = [row.split(" | ") for table in tables[1:] for row in table.splitlines()[2:] if row.startswith("| `")]
    assert sorted(row[0].strip("|` ") for row in rows) == sorted(field.name for field in fields(Settings))
    # An API key's own settings are asked for by their names.
    assert all(row[4].startswith("`") or row[0].strip("|` ") in OF_A_KEY for row in rows)
    assert all(table.rstrip().splitlines()[-1].endswith((".", ".)", ":")) for table in tables[:-1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINKS.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_named_are_there(page: Path) -> None:
    """`folder/file::test`, below `tests/`."""
    named = TESTS.findall(page.read_text(encoding="utf-8"))
    files = {file: ROOT / "tests" / f"{file}.py" for file, _ in named}
    texts = {file: path.read_text(encoding="utf-8") if path.exists() else "" for file, path in files.items()}
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in texts[file]] == []


def test_a_test_that_is_not_there_would_be_seen() -> None:
    assert TESTS.findall("held by `unit/test_docs::test_nothing`") == [("unit/test_docs", "test_nothing")]
