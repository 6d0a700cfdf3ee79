"""The lists of packages: what is asked for, and what `make lock` made of it."""

import re
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# A requirement, and the lines of its hashes.
LOCKED = re.compile(
    r"^([a-z][^ ;]*)==([^ ;]+)(?: ; [^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def pinned(requirements: Iterable[str]) -> dict[str, str]:
    """The version of each. AssertionError where more than one would do."""
    found = [Requirement(line) for line in requirements]
    assert all(str(one.specifier).startswith("==") for one in found)
    return {canonicalize_name(one.name): str(one.specifier)[2:] for one in found}


def asked(file: str) -> dict[str, str]:
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return pinned(filter(None, lines))


def locked(file: str) -> dict[str, dict[str, set[str]]]:
    """The hashes by name and version: a package may have another version on another Python."""
    found: dict[str, dict[str, set[str]]] = {}
    for name, version, hashes in LOCKED.findall((ROOT / file).read_text()):
        found.setdefault(name, {})[version] = set(re.findall("[0-9a-f]{64}", hashes))
    return found
