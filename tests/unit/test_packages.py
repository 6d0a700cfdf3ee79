"""What each package does in the deployed stack, as the table in docs/design.md says it."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from subsecond_local.extras import EXTRAS
from tests.support.locks import locked

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "shared" / "subsecond"
# The package's name in Python, where it is another one.
MODULES = {"aws-lambda-powertools": "aws_lambda_powertools"}
# Of these packages, those that a function has loaded when it is ready. boto3 may come in a thread of its own.
AT_START = {
    "streaming": {"aws_lambda_powertools"},
    "completion": {"aws_lambda_powertools", "mangum"},
    "cache_stats": {"aws_lambda_powertools", "mangum", "fastapi"},
    "indexer": {"aws_lambda_powertools", "numpy"},
    "prewarm": {"aws_lambda_powertools"},
}


def table():
    """Each package's places."""
    words = (ROOT / "docs/design.md").read_text().split("\n## What each package does\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|")[:2] for line in words.splitlines() if line.startswith("| `")]
    return {re.search("`(.+)`", package)[1]: re.findall("`(.+?)`", places) for package, places in rows}


TABLE = table()


@cache
def imported(path):
    """The packages that the file imports when it runs. Thousands of files are read for each package otherwise."""
    tree = ast.parse(path.read_text())
    typing = [one for one in ast.walk(tree) if isinstance(one, ast.If) and "TYPE_CHECKING" in ast.unparse(one.test)]
    found = set(ast.walk(tree)) - {node for one in typing for node in ast.walk(one)}
    modules = [alias.name for node in found if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in found if isinstance(node, ast.ImportFrom)]
    return {one.split(".")[0] for one in modules}


def importers(package, root):
    """The files below the folder that import the package when they run."""
    return [path.relative_to(root).as_posix() for path in root.rglob("*.py") if package in imported(path)]


def test_the_table_has_the_seven_packages():
    assert set(TABLE) == {"aws-lambda-powertools", "boto3", "numpy", "openai", "mangum", "fastapi", "moto"}


@pytest.mark.parametrize("package", sorted(TABLE.keys() - {"moto"}))
def test_a_package_is_imported_where_the_table_says_and_nowhere_else(package):
    found = set(importers(MODULES.get(package, package), PACKAGE))
    assert all(any(one.startswith(place) for place in TABLE[package]) for one in found)
    assert all(any(one.startswith(place) for one in found) for place in TABLE[package])


def test_moto_is_for_tests_alone():
    assert TABLE["moto"] == ["tests/"]
    assert not [one for folder in ("shared", "functions", "local") for one in importers("moto", ROOT / folder)]
    assert importers("moto", ROOT / "tests")


def test_the_layer_has_all_but_moto():
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "shared/requirements.txt").read_text(), re.MULTILINE)
    assert TABLE.keys() & set(pinned) == TABLE.keys() - {"moto"}


@pytest.mark.parametrize("function", sorted(AT_START))
def test_a_function_starts_with_its_packages_alone(function):
    watched = {MODULES.get(package, package) for package in TABLE} - {"boto3"}
    script = (
        "import sys\nfrom tests.support.functions import load_function\n"
        f"load_function({function!r})\nprint(*sorted(sys.modules.keys() & {watched!r}))"
    )
    environ = {**os.environ, "SUBSECOND_STORES": "memory", "SUBSECOND_API_KEY": "k"}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    assert set(ran.stdout.splitlines()[-1].split()) == AT_START[function]


def extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: {one.name: one.specifier for one in map(Requirement, lines)} for extra, lines in named.items()}


def test_the_wheel_asks_for_what_the_layer_has_in_ranges_around_the_layers_versions():
    lines = (ROOT / "shared/requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    ranges = extras()[""] | extras()["aws"] | extras()["demo"]
    assert ranges.keys() - {"uvicorn"} == pinned.keys()
    assert [name for name, number in pinned.items() if number not in ranges[name]] == []


def test_make_run_installs_no_tool_of_development(tmp_path):
    told = ("make", "--dry-run", f"VENV={tmp_path}/venv", f"PYTHON={sys.executable}")
    run, test = (
        subprocess.run((*told, target), cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for target in ("run", "test")
    )
    assert "--requirement local/requirements.lock" in run
    assert "--requirement requirements.lock" not in run
    assert "--requirement requirements.lock" in test
    assert locked("local/requirements.lock").keys() & {"mypy", "pytest", "ruff", "moto", "onnxruntime"} == set()


def test_a_missing_package_is_told_by_the_extra_that_has_it():
    found = extras()
    for module, extra in EXTRAS.items():
        if module not in ("botocore", "httpx2"):  # boto3 and openai bring them
            assert module.replace("_", "-") in found[extra], module
