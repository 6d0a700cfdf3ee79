"""Puts what was measured into a page of the docs, between `<!-- NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write(page: Path, sections: Mapping[str, str]) -> None:
    """Each section by its name. ValueError where the page has no place for it."""
    text = page.read_text(encoding="utf-8")
    for name, section in sections.items():
        place = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, found = place.subn(lambda place, section=section: f"{place[1]}{section.strip()}\n{place[2]}", text)
        if not found:
            raise ValueError(f"{page} has no place for {name}")
    page.write_text(text, encoding="utf-8")


def commit() -> str:
    """The code that was measured."""
    said = subprocess.run(("git", "describe", "--always", "--dirty"), capture_output=True, text=True, check=False)
    return said.stdout.strip() or "no commit"
