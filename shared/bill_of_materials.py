"""The bill of materials of a layer, in CycloneDX's JSON: every distribution in it, with version, licence and hash.

    python bill_of_materials.py LAYER PACKAGES < report.json > LAYER.cdx.json

PACKAGES is the folder of the layer's packages, the input pip's report of installing them. `shared/Makefile` calls it.
It runs on the build's bare interpreter, so it has the standard library alone. It writes no time, no address and no
random number: the same packages make the same bytes, which a layer's hash depends on.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def bill(layer: str, packages: str, report: dict[str, Any]) -> dict[str, Any]:
    """KeyError when a distribution lies there that pip has not installed now."""
    archives = {plain(one["metadata"]["name"]): one["download_info"]["archive_info"] for one in report["install"]}
    found = sorted(distributions(path=[packages]), key=lambda one: plain(one.name))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": layer, "name": f"subsecond-layer-{layer}"}},
        "components": [component(one, archives[plain(one.name)]["hashes"]["sha256"]) for one in found],
    }


def component(distribution: Distribution, archive: str) -> dict[str, Any]:
    """`archive`: the hash of the file that was installed, one of those in the lock."""
    name = plain(distribution.name)
    url = f"pkg:pypi/{name}@{distribution.version}"
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": distribution.version,
        "hashes": [{"alg": "SHA-256", "content": archive}],
        "licenses": licences(distribution),
        "purl": url,
    }


def licences(distribution: Distribution) -> list[dict[str, Any]]:
    """As it names them itself: an SPDX expression, or one of the two older ways."""
    told = distribution.metadata
    if expression := told.get("License-Expression"):
        return [{"expression": expression}]
    classified = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier", ()) if one.startswith("License :: ")]
    return [{"license": {"name": name}} for name in classified or [told["License"]]]


def plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    json.dump(bill(sys.argv[1], sys.argv[2], json.load(sys.stdin)), sys.stdout, indent=1)
