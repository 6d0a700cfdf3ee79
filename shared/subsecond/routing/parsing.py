"""A catalogue from its JSON. Whatever does not fit is a ValueError that names the entry and the field."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from subsecond.aws.secrets import STORES, parse, secret
from subsecond.config import CHOICES
from subsecond.routing.catalogue import (
    CAPABILITIES,
    Alias,
    Catalogue,
    Model,
    Server,
    Template,
    Templates,
    Tier,
    standard_aliases,
)

VARIABLE = "SUBSECOND_CATALOGUE"
# What a header and a table's key can hold.
NAME = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")
MILLISECONDS = 1000.0

Check = Callable[[Any], Any]


class _Unfit(ValueError):
    """What is wrong with a value."""


def load(text: str) -> Catalogue | None:
    """From SUBSECOND_CATALOGUE: JSON, `file:PATH`, or `ssm:NAME` or `secretsmanager:NAME` (as for a key). None when
    empty. ValueError."""
    text = text.strip()
    if not text:
        return None
    if text.startswith("file:"):
        try:
            text = Path(text.removeprefix("file:")).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{VARIABLE}: {text[:200]} cannot be read ({type(error).__name__})") from None
    elif text.startswith(tuple(f"{store}:" for store in STORES)):
        parse(text)
        # A thread of its own: where an event loop is running already, another one can not be run in this thread.
        with ThreadPoolExecutor(1) as thread:
            text = thread.submit(lambda reference: asyncio.run(secret(reference, math.inf)), text).result()
    return read(text)


def read(text: str) -> Catalogue:
    """The catalogue of this JSON text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{VARIABLE} is no JSON: {error}") from None
    fields = _fields("the catalogue", found, CATALOGUE)
    servers = {one.name: one for one in (_server(name, given) for name, given in fields["upstreams"].items())}
    templates = {name: Template(name, _text_of(name, given)) for name, given in fields["templates"].items()}
    models: dict[str, Model] = {}
    for at, given in enumerate(fields["models"]):
        for model in _models(at, given, servers, templates):
            _new(model.name, models, f"model {model.name!r}")
            models[model.name] = model
    if not models:
        raise ValueError(f"{VARIABLE}: the catalogue, field 'models': there are none")
    _check_fallbacks(models)
    return Catalogue(models, _aliases(fields["aliases"], models, templates), servers)


def _check_fallbacks(models: Mapping[str, Model]) -> None:
    for model in models.values():
        for name in model.fallbacks:
            if name not in models or name == model.name:
                raise _wrong(f"model {model.name!r}", "fallbacks", f"{name!r} is no other model{_near(name, models)}")


def _server(name: str, given: Any) -> Server:
    entry = f"upstream {name!r}"
    fields = _fields(entry, given, SERVER)
    if fields["key"] and fields["secret"]:
        raise _wrong(entry, "secret", "there is a `key` already")
    return Server(name, fields["url"].rstrip("/"), fields["key"], fields["secret"])


def _text_of(name: str, given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise _wrong(f"template {name!r}", "text", "a text is wanted")
    return given


def _models(at: int, given: Any, servers: Mapping[str, Server], templates: Mapping[str, Template]) -> list[Model]:
    """One deployment for each upstream that it names; several make a group with the model's name."""
    named = given.get("name") if isinstance(given, dict) else None
    entry = f"model {named!r}" if isinstance(named, str) else f"model {at + 1}"
    fields = _fields(entry, given, MODEL)
    for server in fields["upstream"]:
        if server not in servers:
            raise _wrong(entry, "upstream", f"{server!r} is no upstream of the catalogue{_near(server, servers)}")
    name = fields["name"]
    model = Model(
        name=name,
        tier=fields["tier"],
        served=fields["model"] or name,
        price_in=fields["price_in"],
        price_out=fields["price_out"],
        window=fields["window"],
        output_limit=fields["output_limit"],
        capabilities=frozenset(fields["capabilities"]),
        ttft=fields["ttft_ms"] / MILLISECONDS,
        speed=fields["tokens_per_second"],
        group=fields["group"],
        fallbacks=fields["fallbacks"],
        list_prompts=fields["list_prompts"],
        templates=_chosen(entry, fields["templates"], templates),
    )
    places = fields["upstream"]
    if len(places) < 2:  # noqa: PLR2004 -- one of several is a deployment
        return [replace(model, server=places[0] if places else "")]
    if model.group:
        raise _wrong(entry, "group", "a model with several upstreams is a group of its own")
    return [replace(model, name=f"{name}@{place}", server=place, group=name) for place in places]


def _chosen(entry: str, given: Any, templates: Mapping[str, Template]) -> Templates | None:
    if given is None:
        return None
    fields = _fields(f"{entry}, templates", given, TEMPLATES)
    cuts = fields.pop("cuts")
    for place, name in fields.items():
        if name and name not in templates:
            raise _wrong(entry, f"templates.{place}", f"there is no template {name!r}{_near(name, templates)}")
    return Templates(**{place: templates.get(name) for place, name in fields.items()}, cuts=cuts)


def _aliases(given: Any, models: Mapping[str, Model], templates: Mapping[str, Template]) -> dict[str, Alias]:
    """The standard ones, the groups, and those of the configuration, which may take a standard one's place."""
    found = {alias.name: alias for alias in standard_aliases(models.values())}
    groups: dict[str, tuple[Model, ...]] = {}
    for model in models.values():
        if model.group:
            groups[model.group] = (*groups.get(model.group, ()), model)
    for name, members in groups.items():
        _new(name, {**models, **found}, f"group {name!r}")
        if len({one.tier for one in members}) > 1:
            raise _wrong(f"group {name!r}", "tier", "its models are of several tiers, so they do not answer alike")
    made = {name: Alias(name, members, by_difficulty=False) for name, members in groups.items()}
    own: dict[str, Alias] = {}
    for name, fields in given.items():
        _new(name, {**models, **made}, f"alias {name!r}")
        own[name] = _alias(name, fields, models, templates)
    return {**found, **made, **own}


def _alias(name: str, given: Any, models: Mapping[str, Model], templates: Mapping[str, Template]) -> Alias:
    entry = f"alias {name!r}"
    if not NAME.fullmatch(name):
        raise _wrong(entry, "name", f"letters, digits and {'_.:/@+-'} are wanted")
    fields = _fields(entry, given, ALIAS)
    members: list[Model] = []
    for wanted in fields["models"]:
        some = [one for one in models.values() if wanted in (one.name, one.group)]
        if not some:
            raise _wrong(entry, "models", f"{wanted!r} is no model{_near(wanted, models)}")
        members += some
    members = members or list(models.values())
    if all(one.tier < fields["floor"] for one in members):
        raise _wrong(entry, "floor", f"no model of it is {fields['floor'].word} or better")
    return Alias(
        name=name,
        models=tuple(dict.fromkeys(members)),
        floor=fields["floor"],
        quality=fields["quality"],
        prefer=fields["prefer"],
        templates=_chosen(entry, fields["templates"], templates),
    )


def _new(name: str, names: Mapping[str, Any], entry: str) -> None:
    if name in names:
        raise _wrong(entry, "name", "there is another of this name")


def _wrong(entry: str, name: str, what: str) -> ValueError:
    return ValueError(f"{VARIABLE}: {entry}, field {name!r}: {what}")


def _near(name: str, names: Mapping[str, Any]) -> str:
    near = get_close_matches(name, names, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _fields(entry: str, given: Any, wanted: Mapping[str, tuple[Check, Any]]) -> dict[str, Any]:
    """The entry's fields, checked; what is missing has its default, and must be there where that is `...`."""
    if not isinstance(given, dict):
        raise _wrong(entry, "", "a JSON object is wanted")
    for name in given:
        if name not in wanted:
            raise _wrong(entry, name, f"there is no such field{_near(name, wanted)}")
    found = {}
    for name, (check, default) in wanted.items():
        if name not in given and default is ...:
            raise _wrong(entry, name, "it is missing")
        try:
            found[name] = check(given[name]) if name in given else default
        except _Unfit as error:
            raise _wrong(entry, name, str(error)) from None
    return found


def _number(low: float, high: float = math.inf) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            wanted = f"a number from {low:g}" + ("" if math.isinf(high) else f" to {high:g}")
            raise _Unfit(f"{wanted} is wanted, not {value!r}")
        return float(value)

    return check


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _Unfit(f"a whole number is wanted, not {value!r}")
    return value


def _rate(value: Any) -> float:
    found: float = _number(0)(value)
    if not found or math.isinf(found):
        raise _Unfit("it must be more than 0")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unfit(f"a text is wanted, not {value!r}")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise _Unfit(f"a name of letters, digits and _.:/@+- is wanted, not {value!r}")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Unfit(f"a list of names is wanted, not {value!r}")
    return tuple(dict.fromkeys(map(_name, value)))


def _one_or_more(value: Any) -> tuple[str, ...]:
    return _names(value) if isinstance(value, list) else (_name(value),)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Unfit(f"true or false is wanted, not {value!r}")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unfit("a JSON object is wanted")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Unfit("a list is wanted")
    return value


def _word(words: tuple[str, ...]) -> Check:
    def check(value: Any) -> str:
        if value not in words:
            raise _Unfit(f"{value!r} is not one of {', '.join(words)}")
        return str(value)

    return check


def _tier(value: Any) -> Tier:
    return Tier[_word(tuple(tier.word for tier in Tier))(value).upper()]


def _capabilities(value: Any) -> tuple[str, ...]:
    return tuple(_word(tuple(sorted(CAPABILITIES)))(one) for one in _names(value))


def _url(value: Any) -> str:
    try:
        url = urlsplit(value)
        good = url.scheme in {"http", "https"} and bool(url.hostname) and not (url.query or url.fragment)
        good = good and not url.username and url.port != 0
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good:
        raise _Unfit("it is not like https://host/v1")  # unquoted: it may hold a password
    return str(value)


def _secret(value: Any) -> str:
    try:
        parse(_text(value))
    except ValueError as error:
        raise _Unfit(str(error)) from None
    return str(value)


def _cuts(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 -- three templates have two bounds
        raise _Unfit("two numbers are wanted")
    low, high = (_number(0, 1)(one) for one in value)
    if low > high:
        raise _Unfit("the first is larger than the second")
    return low, high


# Field: what checks it, and its default.
CATALOGUE = {"upstreams": (_object, {}), "models": (_list, ...), "aliases": (_object, {}), "templates": (_object, {})}
SERVER = {"url": (_url, ...), "key": (_text, ""), "secret": (_secret, "")}
MODEL = {
    "name": (_name, ...),
    "upstream": (_one_or_more, ()),
    "model": (_text, ""),
    "tier": (_tier, ...),
    "price_in": (_number(0), 0.0),
    "price_out": (_number(0), 0.0),
    "window": (_whole, 0),
    "output_limit": (_whole, 0),
    "capabilities": (_capabilities, ()),
    "ttft_ms": (_number(0, 600_000), 500.0),
    "tokens_per_second": (_rate, 50.0),
    "group": (_name, ""),
    "fallbacks": (_names, ()),
    "list_prompts": (_flag, False),
    "templates": (_object, None),
}
ALIAS = {
    "models": (_names, ()),
    "floor": (_tier, Tier.FAST),
    "quality": (_number(0, 1), None),
    "prefer": (_word(CHOICES["prefer"]), None),
    "templates": (_object, None),
}
TEMPLATES = {"simple": (_text, ""), "default": (_text, ""), "complex": (_text, ""), "cuts": (_cuts, (1 / 3, 2 / 3))}
