"""The two layers, built for both architectures as `sam build` does it: what they take, that they are made of what is
locked and say so, and that a second build is the same. It needs a package index."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest

from subsecond_local.deploy import deploy_tools
from tests.support.locks import locked

ROOT = Path(__file__).parents[2]
# Bytes that both layers may unpack to. Lambda allows 250 MB with the function's own code.
LAYERS_LIMIT = 240 * 10**6
LAYERS = {"Shared": "shared", "MiniLm": "minilm"}


@dataclass(frozen=True)
class Built:
    """The folders to which the layers of one architecture were built."""

    machine: str
    folders: dict[str, Path]

    def size(self, layer: str) -> int:
        return deploy_tools.check_layer(self.folders[layer], self.machine, LAYERS_LIMIT)


def build(layer: str, machine: str, folder: Path, sources: Path = ROOT, umask: int = 0o022) -> Path:
    makefile = ROOT / LAYERS[layer] / "architectures" / machine / "Makefile"
    command = ["make", "--silent", "--makefile", str(makefile), f"build-{layer}"]
    # `make test PYTHON=...` tells every make below it the same. Here the bytecode is this interpreter's, which is as
    # large as the functions'.
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES")}
    environ |= {"ARTIFACTS_DIR": str(folder), "PYTHON": sys.executable}
    made = subprocess.run(
        command,
        cwd=sources / LAYERS[layer],
        env=environ,
        umask=umask,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return folder


@pytest.fixture(scope="module", params=sorted(deploy_tools.MACHINES))
def built(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda layer: build(layer, request.param, folder / layer), LAYERS)
        return Built(request.param, dict(zip(LAYERS, made, strict=True)))


def test_the_layers_fit_and_leave_room_for_a_function(built):
    base, both = built.size("Shared"), built.size("Shared") + built.size("MiniLm")
    assert base < deploy_tools.LAYER_LIMIT == 120 * 10**6
    assert both < LAYERS_LIMIT


@pytest.mark.parametrize("layer", LAYERS)
def test_the_bill_of_materials_names_every_distribution_with_its_version_licence_and_hash(built, layer):
    folder, name = built.folders[layer], LAYERS[layer]
    bill = json.loads((folder / "sbom" / f"{name}.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    found = {one["name"]: one for one in bill["components"]}
    lies_there = {(one.name.lower().replace("_", "-"), one.version) for one in distributions(path=[folder / "python"])}
    assert {(one["name"], one["version"]) for one in found.values()} == lies_there
    assert found.keys() == locked(f"{name}/requirements.lock").keys()
    for component in found.values():
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        assert all(one.get("expression") or one["license"]["name"] for one in component["licenses"])
        assert component["licenses"]
        [known] = component["hashes"]
        assert known["content"] in locked(f"{name}/requirements.lock")[component["name"]][component["version"]]


def test_a_second_build_has_the_same_hash_whoever_makes_it_and_where(built, tmp_path):
    """Another folder, other times of the sources, and a user whose files nobody else may read."""
    if built.machine != deploy_tools.architecture():
        pytest.skip("once is enough: both architectures are built by one makefile")
    sources, name = tmp_path / "elsewhere", LAYERS["Shared"]
    shutil.copytree(ROOT / name, sources / name, copy_function=shutil.copyfile)
    (sources / name / "stream-runtime").chmod(0o700)
    again = build("Shared", built.machine, tmp_path / "again", sources, umask=0o077)
    assert deploy_tools.digest(again) == deploy_tools.digest(built.folders["Shared"])


def test_the_second_layer_has_the_pinned_weights_and_nothing_of_the_first(built):
    from subsecond.semantic.embedders import minilm
    from subsecond.semantic.embedders.support.pinned import pinned

    shared, second = (built.folders[layer] / "python" for layer in LAYERS)
    assert pinned(second / minilm.PACKAGE / minilm.FILE, minilm.SHA256)
    assert {path.name for path in second.iterdir()} & {path.name for path in shared.iterdir()} == set()
    assert not (shared / "tokenizers").exists()
    assert (shared / "subsecond" / "semantic" / "embedders" / "data" / "characters.json").is_file()


def test_a_model_runs_on_what_the_two_layers_hold(built):
    """On this machine's architecture, where the interpreter is the functions' own."""
    if built.machine != deploy_tools.architecture() or sys.version_info[:2] != tuple(
        map(int, deploy_tools.VERSION.split("."))
    ):
        pytest.skip("the layers are for another machine or Python")
    script = """
import asyncio
from subsecond.config import Settings
from subsecond.semantic.embedders import minilm
made = minilm.build(Settings())
assert asyncio.run(made.embed(["Hello there?"])).shape == (1, 384)
asyncio.run(made.aclose())
"""
    paths = os.pathsep.join(str(built.folders[layer] / "python") for layer in LAYERS)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-S", "-c", script], env=environ, check=True, timeout=120)
