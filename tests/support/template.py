"""What the tests of the template share: its functions by folder, and what a function is told and given."""

from __future__ import annotations

from pathlib import Path

from subsecond.config import Settings

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "shared" / "subsecond"
FOLDERS = {
    "Streaming": "streaming",
    "Completion": "completion",
    "CacheStats": "cache_stats",
    "Prewarm": "prewarm",
    "Indexer": "indexer",
    "Verify": "verify",
}
ANSWERING = ("Streaming", "Completion")
WITH_URL = (*ANSWERING, "CacheStats")
TWO_DAYS = 2 * 86_400
DOCUMENTATION = (ROOT / "README.md").read_text()


def settings_of(template, function, **parameters) -> Settings:
    found = template.variables(function, **parameters)
    return Settings.from_env({name: str(value) for name, value in found.items()})


def layers_of(template, function, **parameters):
    """The logical ids of the layers that it has then."""
    found = template.resources[function]["Properties"]["Layers"]
    return [name for name in (template.resolve(layer, parameters) for layer in found) if name != "AWS::NoValue"]
