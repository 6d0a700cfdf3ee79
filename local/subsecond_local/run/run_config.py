"""What `make run` is told by the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from subsecond_local.errors import LocalError
from subsecond_local.extras import has
from subsecond_local.run.ports import HIGHEST

UpstreamName = Literal["simulator", "model", "openai", "bedrock"]
ModeName = Literal["app", "lambda"]
StoresName = Literal["aws", "memory"]
Name = TypeVar("Name", bound=str)

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """`upstream` None: the best that there is. `port` 0: a free one. `named`: the stores are elsewhere, and no
    ministack is started for them. Empty texts: not given."""

    data: Path
    port: int
    upstream: UpstreamName | None
    mode: ModeName
    stores: StoresName
    api_key: str = field(repr=False)
    endpoint: str
    named: bool
    openai_url: str = field(repr=False)
    openai_key: str = field(repr=False)
    model: str


def read(environ: Mapping[str, str], data: Path | None = None) -> RunConfig:
    """LocalError for a value that is not one. A variable that is set to nothing is not set."""
    openai_url, openai_key = environ.get("OPENAI_BASE_URL", ""), environ.get("OPENAI_API_KEY", "")
    stores: StoresName = _one_of("STORES", environ, StoresName) or _usual_stores(environ)
    # An environment of a function shares nothing with the next: what lies in memory wants one plain process.
    usual: ModeName = "app" if stores == "memory" else "lambda"
    return RunConfig(
        data=folder(environ, data),
        port=_port(environ.get("PORT") or "8000"),
        upstream=_one_of("UPSTREAM", environ, UpstreamName) or ("openai" if openai_url or openai_key else None),
        mode=_one_of("MODE", environ, ModeName) or usual,
        stores=stores,
        api_key=environ.get("SUBSECOND_API_KEY", ""),
        endpoint=environ.get("AWS_ENDPOINT_URL", ""),
        named=bool(environ.get("AWS_ENDPOINT_URL") or (environ.get("STORES") and environ.get("SUBSECOND_STATE_TABLE"))),
        openai_url=openai_url or (OPENAI_URL if openai_key else ""),
        openai_key=openai_key,
        model=environ.get("SUBSECOND_DEFAULT_MODEL") or environ.get("OPENAI_MODEL") or "",
    )


def folder(environ: Mapping[str, str], data: Path | None = None) -> Path:
    """Where the state of the runs is kept: as told, or `.subsecond` here."""
    return (data or Path(environ.get("SUBSECOND_DATA") or ".subsecond")).absolute()


def _usual_stores(environ: Mapping[str, str]) -> StoresName:
    """Tables where there are some: the environment's, or ministack's, which the base install does not have."""
    return "aws" if environ.get("AWS_ENDPOINT_URL") or has("ministack") else "memory"


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST:
        raise LocalError(f"PORT={text} is not a port: give a number up to {HIGHEST} (0 takes a free one).")
    return int(text)


def _one_of(variable: str, environ: Mapping[str, str], names: object) -> Name | None:
    text = environ.get(variable) or None
    if text is not None and text not in get_args(names):
        raise LocalError(f"{variable}={text} is unknown: it can be {', '.join(get_args(names))}.")
    return text  # type: ignore[return-value]
