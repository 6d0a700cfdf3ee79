"""The two layers, built for both architectures as `sam build` does it, and what they take. It needs a package index."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from subsecond_local.deploy import deploy_tools

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


def build(layer: str, machine: str, folder: Path) -> Path:
    makefile = ROOT / LAYERS[layer] / "architectures" / machine / "Makefile"
    command = ["make", "--silent", "--makefile", str(makefile), f"build-{layer}"]
    # `make test PYTHON=...` tells every make below it the same. Here the bytecode is this interpreter's, which is as
    # large as the functions'.
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES")}
    environ |= {"ARTIFACTS_DIR": str(folder), "PYTHON": sys.executable}
    made = subprocess.run(
        command, cwd=ROOT / LAYERS[layer], env=environ, capture_output=True, text=True, check=False, timeout=300
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
