"""Which server of models the gateway asks, and the child that it takes."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from subsecond_local.errors import LocalError
from subsecond_local.run import model_server
from subsecond_local.run.children import Child
from subsecond_local.run.ports import HOST
from subsecond_local.run.run_config import RunConfig, UpstreamName

SIMULATED = "sim-t50-i5-n32"
OTHERWISE = "UPSTREAM=simulator make run needs no model; OPENAI_BASE_URL and OPENAI_API_KEY name another server."


@dataclass(frozen=True, slots=True)
class Upstream:
    """`child` None: it runs elsewhere already."""

    name: UpstreamName
    url: str = field(repr=False)
    key: str = field(repr=False)
    default_model: str
    child: Child | None = None


def choose(config: RunConfig, port: int, environ: Mapping[str, str], say: Callable[[str], None]) -> Upstream:
    """As told, else the model, else the simulator. LocalError when what was told cannot be had."""
    if config.upstream == "openai":
        return _openai(config)
    if config.upstream == "bedrock":
        return Upstream("bedrock", "", "", config.model)
    reason = None if config.upstream == "simulator" else model_server.missing()
    if config.upstream == "model" and reason:
        raise LocalError(f"UPSTREAM=model cannot run here: {reason}. Try `make install`. {OTHERWISE}")
    if reason:
        say(f"No model can run here ({reason}): the simulator answers instead.")
    if config.upstream == "simulator" or reason:
        return _child(config, "simulator", port, environ)
    return _child(config, "model", port, environ)


def _openai(config: RunConfig) -> Upstream:
    if not config.openai_url:
        raise LocalError("UPSTREAM=openai needs OPENAI_BASE_URL, OPENAI_API_KEY or both.")
    if not config.openai_url.startswith(("http://", "https://")):
        raise LocalError(f"OPENAI_BASE_URL={config.openai_url} is not a URL: it begins with http:// or https://.")
    return Upstream("openai", config.openai_url, config.openai_key, config.model)


def _child(config: RunConfig, name: UpstreamName, port: int, environ: Mapping[str, str]) -> Upstream:
    key = secrets.token_urlsafe(16)
    modules = {
        "model": ("run.model_server", f"the model {model_server.MODEL}", model_server.MODEL),
        "simulator": ("simulator.server", "the simulator", SIMULATED),
    }
    module, purpose, model = modules[name]
    child = Child(
        name=name,
        purpose=purpose,
        command=(sys.executable, "-m", f"subsecond_local.{module}", f"--port={port}", f"--key={key}"),
        environ=environ,
        health=f"http://{HOST}:{port}/health",
        ready_within=180.0,
        hint=OTHERWISE if name == "model" else "",
    )
    return Upstream(name, f"http://{HOST}:{port}/v1", key, config.model or model, child)
