"""Puts what was measured into a page of the docs, between `<!-- NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write(page: Path, sections: Mapping[str, str]) -> None:
    """Each section by its name; within a line where its place is. ValueError where the page has no place for it."""
    text = page.read_text(encoding="utf-8")
    for name, section in sections.items():
        place = re.compile(rf"(<!-- {re.escape(name)} -->)(\n?).*?(<!-- end -->)", re.DOTALL)
        text, found = place.subn(
            lambda place, section=section: f"{place[1]}{place[2]}{section.strip()}{place[2]}{place[3]}", text
        )
        if not found:
            raise ValueError(f"{page} has no place for {name}")
    page.write_text(text, encoding="utf-8")


def commit() -> str:
    """The code that was measured; "-dirty" where it differs. Pages may: a run writes some before it measures more."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top)*.md")
    return f"{_git('rev-parse', '--short', 'HEAD') or 'no commit'}{'-dirty' if changed else ''}"


def _git(*words: str) -> str:
    return subprocess.run(("git", *words), capture_output=True, text=True, check=False).stdout.strip()
