"""The recipes of docs/how-to.md and the README's first calls, as they stand there, against a gateway as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import PATIENCE, environment

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Where the pages say that the gateway is.
HERE = "http://127.0.0.1:8000/v1"


def recipes():
    for page in ("README.md", "docs/how-to.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for found in FENCED.finditer(text):
            title = re.findall(r"^## (.+)$", text[: found.start()], re.MULTILINE)[-1]
            yield pytest.param(found[1], found[2], id=f"{page}: {title}: {found[1]}")


def _here(subsecond):
    """What the page has its reader export."""
    return {"OPENAI_BASE_URL": subsecond.base_url, "OPENAI_API_KEY": subsecond.key, "MODEL": "sim-t20-i1-n8"}


@pytest.mark.parametrize(("language", "text"), list(recipes()))
def test_it_works_as_it_stands(language, text, subsecond):
    where = {**_here(subsecond), "SUBSECOND_API_KEY": subsecond.key}
    command = [sys.executable, "-c"] if language == "python" else ["bash", "-euo", "pipefail", "-c"]
    words = [*command, text.replace(HERE, subsecond.base_url)]
    ran = subprocess.run(words, env=environment(**where), capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ran.returncode == 0, ran.stderr
    assert '"error": {' not in ran.stdout
    assert ran.stdout


def test_what_is_only_cached_is_told_as_the_page_says(subsecond):
    [text] = [one.values[1] for one in recipes() if "Only from the cache" in one.id]
    ran = subprocess.run(
        ["bash", "-c", text], env=environment(**_here(subsecond)), capture_output=True, text=True, check=True
    )
    assert ran.stdout == "504\n"
