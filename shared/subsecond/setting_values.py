"""What a setting may be: its choices, bounds and forms, and how its text is read. `config` has the settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

PREFIX = "SUBSECOND_"
# All other settings in one: JSON, or where that lies (`ssm:NAME`, `secretsmanager:NAME`).
SETTINGS = "SUBSECOND_SETTINGS"
WORDS = {"1": True, "true": True, "0": False, "false": False}

# The settings that name an adapter, and where the adapters lie: the choices are what stands in the star's place.
ADAPTERS = {
    "upstream": "upstreams/*.py",
    "semantic": "semantic/policies/*.py",
    "embedder": "semantic/embedders/*.py",
    "keys": "stores/*/keys.py",
    "exact": "stores/*/answers.py",
    "ledger": "stores/*/ledger.py",
    "invalidations": "stores/*/invalidations.py",
    "hits": "stores/*/hits.py",
    "owners": "stores/*/owners.py",
    "objects": "stores/*/objects.py",
    "flights": "stores/*/leases.py",
    "healths": "stores/*/health.py",
}
# The engine of each store, by what `stores` chooses.
_STORES = [port for port, place in ADAPTERS.items() if place.startswith("stores/")]
STORES: Mapping[str, Mapping[str, str]] = {
    "memory": dict.fromkeys(_STORES, "memory"),
    # Answers are looked up in memory before the table; the index's objects lie in a bucket.
    "aws": dict.fromkeys(_STORES, "dynamodb") | {"exact": "layered", "objects": "s3"},
}
# Those of them that can be switched off.
OPTIONAL = frozenset({"semantic", "flights"})
# The other settings with choices. A choice that ends in capitals has a free part there.
CHOICES = {
    "stores": tuple(STORES),
    "caution": ("strict", "balanced", "bold"),
    "semantic_tools": ("off", "text"),
    "check_texts": ("off", "on"),
    "optimise": ("off", "lossless", "dedupe", "fit", "select"),
    "cache_markers": ("off", "openai", "anthropic", "bedrock"),
    "prefer": ("latency", "price"),
    "difficulty": ("off", "default", "file:PATH"),
    # Of which kind the upstream is (`upstreams/kind.py`); whose answers a question may have; what is masked.
    "upstream_kind": ("", "openai", "azure", "bedrock", "anthropic", "simulator", "unknown"),
    "scope": ("namespace", "user", "key"),
    "volatile": ("off", "clock"),
    "responses_state": ("keep", "ignore"),
}
# Those that an API key may have of its own (`keys create --scope`).
OF_A_KEY = ("scope", "volatile")
# The least and the greatest value, where these are not 0 and no limit. A share is at most 1; no places for calls, no
# threads or no pause between two looks would hang every request, or spin.
BOUNDS = {
    **dict.fromkeys(("similarity", "quality", "hedge_share", "hedge_after", "max_error", "check_share"), (0.0, 1.0)),
    **dict.fromkeys(("upstream_connections", "model_calls", "tenant_calls", "batch_concurrency"), (1.0, inf)),
    **dict.fromkeys(("store_threads", "embedder_threads", "max_batch", "warm_environments"), (1.0, inf)),
    **dict.fromkeys(("bedrock_max_tokens", "max_body"), (1.0, inf)),
    **dict.fromkeys(("poll_gap", "longest_poll_gap", "lease_seconds"), (0.001, inf)),
    # What may take no time at all fails each time, and a key that cannot be looked up is a request that is refused.
    **dict.fromkeys(("connect_timeout", "first_token_timeout", "idle_timeout", "total_timeout"), (0.001, inf)),
    **dict.fromkeys(("store_timeout", "lease_timeout", "loading_timeout"), (0.001, inf)),
}
# The settings that are `PATTERN=VALUE` with commas between: what their values must be. Path: a file that is there.
BY_MODEL: dict[str, tuple[str, ...] | type[int | str | Path]] = {
    "optimise_models": CHOICES["optimise"],
    "context_windows": int,
    "tokenizer_files": Path,
    "bedrock_profiles": str,
}
# What SUBSECOND_SETTINGS may not say, because the stack does: on AWS by the parameter of that name, or by itself ("").
OF_THE_STACK: Mapping[str, str] = {
    "upstream": "Upstream",
    "upstream_url": "UpstreamUrl",
    "upstream_secret": "UpstreamSecret",
    "catalogue": "CatalogueParameter",
    "prices": "CatalogueParameter",
    "default_model": "DefaultModel",
    "bedrock_models": "BedrockModels",
    "semantic": "SemanticCache",
    "embedder": "Embedder",
    "judge": "Judge",
    "check_texts": "CheckTexts",
    "cors_origins": "CorsOrigin",
    "warm_environments": "WarmEnvironments",
    "warm_prompts": "PrewarmPrompts",
    **dict.fromkeys(("stores", "keys", "exact", "ledger", "invalidations", "hits", "healths", "objects"), ""),
    **dict.fromkeys(("answers_table", "state_table", "bucket", "warm_functions", "public_url", "api_key"), ""),
}
# What it may hold only where nobody reads along: in a parameter or secret, and not in the stack's own text.
SECRETS = frozenset({"upstream_key", "embedder_key"})
# As browsers write it: small letters, the port where it is none that goes without saying, and no slash behind it.
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._~-]+(:[0-9]{1,5})?|[a-z][a-z0-9+.-]*://\[[0-9a-f:]+\](:[0-9]{1,5})?")
# How JSON says each kind of setting.
KINDS: Mapping[type, str] = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def check_choice(field: str, text: str) -> None:
    """ValueError lists the choices of the setting `field` where `text` is none of them.

    `from_env` asks for every setting with choices, so that a wrong one ends the start: found out later it would fail
    each request, or switch off a part of the gateway without a word. `bootstrap` asks for settings made by hand.
    """
    found = choices(field)
    if found and not any(_is(choice, text) for choice in found) and not _is_module(field, text):
        raise _no_choice(field, text, found)


def choices(field: str) -> tuple[str, ...]:
    """The setting's choices; () where it has none."""
    return _adapters(field) if field in ADAPTERS else CHOICES.get(field, ())


def module_of(field: str, name: str) -> str:
    """The module of the adapter `name` for that setting; a dotted name is a module already."""
    return (
        name if "." in name else "subsecond." + ADAPTERS[field].removesuffix(".py").replace("*", name).replace("/", ".")
    )


def _adapters(field: str) -> tuple[str, ...]:
    """The names of those that are there. They are not imported: some load numpy."""
    place = ADAPTERS[field]
    by_folder = place.startswith("stores/")
    files = (one for one in Path(__file__).parent.glob(place) if "\ndef build(" in one.read_text(encoding="utf-8"))
    names = sorted(one.parent.name if by_folder else one.stem for one in files)
    return ("off", *names) if field in OPTIONAL else tuple(names)


def _is_module(field: str, text: str) -> bool:
    """Whether it is the dotted name of a module that is there: an adapter of one's own."""
    if field not in ADAPTERS or "." not in text or not all(part.isidentifier() for part in text.split(".")):
        return False
    try:
        return find_spec(text) is not None
    except ModuleNotFoundError:  # a parent of it is missing
        return False


def _is(choice: str, text: str) -> bool:
    """`file:PATH` is any text that begins with `file:` and goes on."""
    fixed = choice.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return text == choice if fixed == choice else text.startswith(fixed) and text != fixed


def _no_choice(field: str, text: str, choices: Iterable[str]) -> ValueError:
    return ValueError(f"{PREFIX}{field.upper()}={text[:80]} is no choice. Choices: {', '.join(choices)}.")


def _check_lines(field: str, text: str) -> None:
    """`PATTERN=VALUE` with commas between. ValueError names the line."""
    wanted, name = BY_MODEL[field], PREFIX + field.upper()
    for line in filter(None, map(str.strip, text.split(","))):
        # A file's name may have a `=` in it.
        pattern, _, value = line.partition("=") if wanted is Path else line.rpartition("=")
        if not pattern or not value:
            raise ValueError(f"{name}: {line[:80]!r} is not PATTERN=VALUE")
        if isinstance(wanted, tuple):
            if value not in wanted:
                raise _no_choice(field, line, wanted)
        elif wanted is int:
            _number(f"{name}: {pattern[:80]}", value, int)
        elif wanted is Path and not Path(value.strip()).is_file():
            raise ValueError(f"{name}: {value[:200]!r} is no file")


def origins(text: str) -> tuple[str, ...]:
    """The origins of `cors_origins`. ValueError for what no browser would send as one."""
    found = tuple(filter(None, map(str.strip, text.split(","))))
    for one in found:
        if one != "*" and not ORIGIN.fullmatch(one):
            raise ValueError(f"{PREFIX}CORS_ORIGINS: {one[:80]!r} is no origin: https://app.example.com has no path.")
    return found


def read(field: str, text: str, kind: type) -> Any:
    """The value of the setting `field` (str, bool, int or float). ValueError names what does not fit."""
    name = PREFIX + field.upper()
    if kind is str:
        check_choice(field, text)
        if field == "cors_origins":
            origins(text)
        if field in BY_MODEL:
            _check_lines(field, text)
        return text
    if kind is bool:
        if text.lower() not in WORDS:
            raise ValueError(f"{name}={text!r} is not true or false")
        return WORDS[text.lower()]
    return _number(name, text, kind, *BOUNDS.get(field, (0.0, inf)))


def _number(name: str, text: str, kind: type, least: float = 0.0, most: float = inf) -> Any:
    what = "a whole number" if kind is int else "a number"
    try:
        found = kind(text)
    except ValueError:
        raise ValueError(f"{name}={text!r} is not {what}") from None
    if not least <= found <= most or found == inf:
        limits = f"from {least:g} on" if most == inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{name}={text!r} is not {what} {limits}")
    return found


def stated(text: str, types: Mapping[str, type], *, secret: bool) -> dict[str, Any]:
    """The settings in SUBSECOND_SETTINGS: a JSON object of their names in small letters. secret: whether the text lies
    where secrets may. ValueError names what does not fit."""
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{SETTINGS} is neither a JSON object nor the name of a parameter: {error}") from None
    if not isinstance(given, dict):
        raise ValueError(f"{SETTINGS} is not a JSON object")
    return {name: _stated(name, value, types, secret=secret) for name, value in given.items()}


def _stated(name: str, value: object, types: Mapping[str, type], *, secret: bool) -> Any:
    if name not in types:
        from difflib import get_close_matches  # 4 ms that nobody needs whose names are right

        meant = "".join(f" Is {one!r} meant?" for one in get_close_matches(name.lower(), types, n=1))
        raise ValueError(f"{SETTINGS}: {name[:80]!r} is no setting.{meant}")
    if (parameter := OF_THE_STACK.get(name)) is not None:
        place = f"on AWS it is the stack's parameter {parameter}" if parameter else "on AWS the stack sets it"
        raise ValueError(f"{SETTINGS}: {name!r} is not set here: {place}")
    if name in SECRETS and not secret:
        raise ValueError(f"{SETTINGS}: {name!r} is a secret: put these settings into a parameter, and name that here")
    kind = types[name]
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"{SETTINGS}: {name!r} is {KINDS[kind]}, not {json.dumps(value)[:80]}")
    try:
        return read(name, str(value), kind)
    except ValueError as error:
        raise ValueError(f"{SETTINGS}: {error}") from None
