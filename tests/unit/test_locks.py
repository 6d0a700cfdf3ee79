"""The lists with hashes are those that `make lock` makes of what the project asks for."""

import re
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.locks import ROOT, asked, locked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
BASE = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
LOCKS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.lock"), *ROOT.glob("*/*.lock")])
TEXTS = {name: (ROOT / name).read_text() for name in LOCKS}


def test_there_is_one_for_each_place_that_packages_go_to():
    assert LOCKS == [
        "container/requirements.lock",
        "local/requirements.lock",
        "local/weights.lock",
        "minilm/requirements.lock",
        "requirements.lock",
        "shared/requirements.lock",
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_a_version_with_hashes_a_remark_or_a_hash(name):
    """An option (an index, a file to fetch) would be none of these."""
    others = [line for line in TEXTS[name].splitlines() if not line.lstrip().startswith(("#", "--hash=sha256:"))]
    assert len(others) == sum(len(versions) for versions in locked(name).values()) > 0
    assert "://" not in TEXTS[name]


def lines(file):
    return [f"{name}=={version}" for name, version in asked(file).items()]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("requirements.lock", sum(EXTRAS.values(), BASE)),
        ("requirements.lock", lines("shared/requirements.txt")),
        ("local/requirements.lock", sum((EXTRAS[extra] for extra in ("aws", "demo", "local")), BASE)),
        ("shared/requirements.lock", lines("shared/requirements.txt")),
        ("minilm/requirements.lock", lines("minilm/requirements.txt")),
        ("container/requirements.lock", lines("container/requirements.txt")),
    ],
)
def test_what_is_asked_for_is_in_it(name, wanted):
    found = locked(name)
    for one in map(Requirement, wanted):
        if one.name != "subsecond":  # its own extras
            versions = found[canonicalize_name(one.name)]
            assert all(map(one.specifier.contains, versions)), one


@pytest.mark.parametrize("name", [name for name in LOCKS if name.endswith("/requirements.lock")])
def test_what_is_shipped_is_what_the_tests_run_with(name):
    everything = locked("requirements.lock")
    for package, versions in locked(name).items():
        assert versions.items() <= everything[package].items(), package


def test_this_environment_has_what_is_locked():
    for line in re.findall(r"^[a-z].*==.*?(?= \\\\$)", TEXTS["requirements.lock"], re.MULTILINE):
        one = Requirement(line)
        if not one.marker or one.marker.evaluate({"extra": ""}):
            assert version(one.name) in one.specifier, line


def test_the_weights_are_those_that_the_makefile_names():
    named = re.search("^WEIGHTS := (.*)==(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name: [*versions] for name, versions in locked("local/weights.lock").items()} == {named[1]: [named[2]]}
