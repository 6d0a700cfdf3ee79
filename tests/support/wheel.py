"""The project as its users install it: a wheel, in an environment that has what the wheel asks for and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
SOURCES = ("shared", "local", "pyproject.toml", "README.md", "LICENSE")


def build(folder: Path) -> Path:
    """The wheel. Its backend comes from the package index, as at a user's."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    command = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source)
    subprocess.run(command, check=True, timeout=300)
    return next(folder.glob("*.whl"))


def install(wheel: Path, folder: Path, *extras: str) -> list[Distribution]:
    """Makes the environment `folder`, and returns what is in it. What the wheel asks for is linked from where the tests
    run: that is a second, and downloading it again would be a minute."""
    venv.create(folder, with_pip=False, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", folder / "bin/python")
    subprocess.run((*pip, "install", "--no-deps", "--no-index", wheel), check=True, timeout=60)
    packages = next(folder.glob("lib/*/site-packages"))
    [ours] = [one for one in distributions(path=[str(packages)]) if one.name == "subsecond"]
    needed = [distribution(name) for name in sorted(_needed(ours, extras))]
    for one in needed:
        for top in {file.parts[0] for file in one.files if file.parts[0] != ".."}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(one.locate_file(top)).resolve())
    return [ours, *needed]


def _needed(ours: Distribution, extras: Iterable[str]) -> set[str]:
    """The names of what it asks for with these extras, and of what that asks for in turn."""
    found: set[str] = set()
    waiting = _asked(ours, ("", *extras))
    while waiting:
        name, wanted = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _asked(distribution(name), ("", *wanted))
    return found


def _asked(one: Distribution, extras: Iterable[str]) -> list[tuple[str, set[str]]]:
    requirements = [Requirement(text) for text in one.requires or ()]
    return [
        (needs.name, needs.extras)
        for needs in requirements
        if not needs.marker or any(needs.marker.evaluate({"extra": extra}) for extra in extras)
    ]
