"""Of which kind an upstream is: whose reference says what a field does. The one place that decides it.

`bootstrap` asks for the gateway's own upstream and for each server of a catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args
from urllib.parse import urlsplit

from subsecond.cache.fields_left_out import Kind
from subsecond.config import Settings
from subsecond.model import Endpoint

# Adapters of one kind of server alone, also as a part of a module's dotted name. `openai` asks any server.
_ADAPTERS: tuple[Kind, ...] = ("azure", "bedrock", "simulator")
# The ends of host names. Azure serves models under three.
_HOSTS: tuple[tuple[str, Kind], ...] = (
    (".openai.com", "openai"),
    (".openai.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".anthropic.com", "anthropic"),
)
# How Bedrock's hosts begin (`bedrock-runtime.REGION.amazonaws.com`), and how they end.
_BEDROCK, _AWS = ".bedrock", (".amazonaws.com", ".api.aws")


# What a server speaks, by its kind. One that nobody knows is asked in any dialect: its 404 is then told as such.
_SPOKEN: Mapping[Kind, frozenset[Endpoint]] = {
    "openai": frozenset({"chat", "text", "embeddings", "responses"}),
    "azure": frozenset({"chat", "text", "embeddings", "responses"}),
    "bedrock": frozenset({"chat", "text", "embeddings", "messages"}),
    "anthropic": frozenset({"chat", "messages"}),
    "simulator": frozenset(get_args(Endpoint)),
    "unknown": frozenset(get_args(Endpoint)),
}


def dialects_of(settings: Settings) -> frozenset[Endpoint]:
    """As `SUBSECOND_UPSTREAM_DIALECTS` or the catalogue's `dialects` says, else by the kind. ValueError names a dialect
    that there is not."""
    if not settings.upstream_dialects:
        return _SPOKEN[kind_of(settings)]
    found = [one.strip() for one in settings.upstream_dialects.split(",")]
    for one in found:
        if one not in get_args(Endpoint):
            told = ", ".join(get_args(Endpoint))
            raise ValueError(f"SUBSECOND_UPSTREAM_DIALECTS: {one[:40]!r} is no dialect. Dialects: {told}")
    return frozenset(cast("list[Endpoint]", found))


def kind_of(settings: Settings) -> Kind:
    """As `SUBSECOND_UPSTREAM_KIND` or the catalogue's `kind` says, else by the adapter, else by the host's name."""
    if settings.upstream_kind:
        return cast("Kind", settings.upstream_kind)
    for name in _ADAPTERS:
        if name in settings.upstream.split("."):
            return name
    host = f".{urlsplit(settings.upstream_url).hostname or ''}"
    for end, kind in _HOSTS:
        if host.endswith(end):
            return kind
    return "bedrock" if host.startswith(_BEDROCK) and host.endswith(_AWS) else "unknown"
