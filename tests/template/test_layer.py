"""What the layers are built of, without building them: `test_layers_built.py` does, and `make deploy-local`."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.locks import asked, locked, pinned

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "shared"


def closure(names: set[str]) -> set[str]:
    """These distributions and all that they need, as installed here, on a Lambda machine."""
    environment = {**default_environment(), "python_version": "3.13", "python_full_version": "3.13.0", "extra": ""}
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        needs = [Requirement(text) for text in requires(name) or ()]
        wanted = {canonicalize_name(one.name) for one in needs if not one.marker or one.marker.evaluate(environment)}
        waiting |= wanted - found
    return found


def test_the_layer_has_the_versions_that_the_tests_run_with():
    for name, versions in locked("shared/requirements.lock").items():
        assert {version(name)} == versions.keys(), name


def test_every_package_that_comes_along_is_pinned():
    assert closure(set(asked("shared/requirements.txt"))) == locked("shared/requirements.lock").keys()


def test_the_second_layer_is_the_extra_of_its_embedders_name():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["minilm"]
    assert asked("minilm/requirements.txt") == pinned(extra)


@pytest.mark.parametrize("layer", ["Shared", "MiniLm"])
@pytest.mark.parametrize(("architecture", "machine"), [("arm64", "aarch64"), ("x86_64", "x86_64")])
def test_each_architecture_has_a_makefile_that_builds_for_it(layer, architecture, machine, template):
    recipe = recipe_of(template, layer, Architecture=architecture, Embedder="minilm")
    assert architecture in template.source["Parameters"]["Architecture"]["AllowedValues"]
    assert set(re.findall(r"--platform manylinux\w+?_(x86_64|aarch64)", recipe)) == {machine}
    assert "--python-version 3.13" in recipe
    assert "--invalidation-mode unchecked-hash" in recipe
    assert (layer != "Shared") or 'install -m 755 stream-runtime "/made/here/stream-runtime"' in recipe


def test_the_second_layer_is_empty_where_another_embedder_was_chosen(template):
    assert recipe_of(template, "MiniLm").split() == ["mkdir", "-p", '"/made/here/python"']


def recipe_of(template, name: str, **parameters: str) -> str:
    """What SAM would have make do, in a copy of the layer's ContentUri."""
    layer = template.source["Resources"][name]
    assert layer["Metadata"]["BuildMethod"] == "makefile"
    folder = template.resolve(layer["Metadata"]["ContextPath"], parameters)
    command = ["make", "--dry-run", "--makefile", str(ROOT / folder / "Makefile"), f"build-{name}"]
    return subprocess.run(
        command,
        cwd=ROOT / layer["Properties"]["ContentUri"],
        env={"PATH": os.environ["PATH"], "ARTIFACTS_DIR": "/made/here"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def test_the_layer_keeps_what_botocore_must_know_of_the_services_that_are_called():
    source = "\n".join(path.read_text() for path in (SHARED / "subsecond").rglob("*.py"))
    called = set(re.findall(r'\b(?:_boto3|client)\("([\w-]+)"\)', source))
    assert called == {"bedrock-runtime", "dynamodb", "lambda", "s3"}
    if "SecretsProvider" in source:
        called |= {"secretsmanager", "ssm"}
    [kept] = re.findall(r"^SERVICES := (.*)$", (SHARED / "Makefile").read_text(), re.MULTILINE)
    assert called <= set(kept.split())
