"""What the pages for readers name is there: files, settings, links."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from subsecond.config import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
# Where a path in a sentence may begin. A file's name alone may be anywhere in what is ours.
BASES = ("", "shared", "shared/subsecond", "local", "local/subsecond_local", "tests")
OURS = ("shared", "local", "functions", "training", "tests")
# No paths of this repository: GPTCache's file, and a prefix in the bucket.
ELSEWHERE = {"examples/benchmark/mock_data.json", "answers/"}
# Read by nothing of ours: a variable of an example's shell.
NO_SETTINGS = {"SUBSECOND_URL"}
FILES = re.compile(r"`((?:[\w.*-]+/)+(?:[\w*.-]+\.\w+)?|[\w*]+\.py)`")
NAMES = re.compile(r"\bSUBSECOND_[A-Z_]*[A-Z]\b")
LINKS = re.compile(r"\]\(([^)\s]+)\)")
SETTINGS = {PREFIX + field.name.upper() for field in fields(Settings)}


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
def test_relative_links_resolve(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINKS.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []
