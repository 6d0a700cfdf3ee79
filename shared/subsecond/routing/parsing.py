"""A catalogue from its JSON text. Pydantic checks each field, the functions below what one entry says of another.

Only `catalogue.load` imports it, where a catalogue is configured. Whatever does not fit is a ValueError that names the
entry and the field, and quotes neither a key nor an address, which may hold a password.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from subsecond.aws.secrets import parse
from subsecond.model import Endpoint
from subsecond.routing.catalogue import (
    VARIABLE,
    Alias,
    Capability,
    Catalogue,
    Model,
    Server,
    Template,
    Templates,
    Tier,
    standard_aliases,
)

MILLISECONDS = 1000.0
# Pydantic's kinds of errors in our words; any other is told in its own, which quote no input.
WORDS = {
    "missing": "it is missing",
    "model_type": "an object is wanted",
    "extra_forbidden": "there is no such field{near}",
    "literal_error": "{input!r} is not one of {expected}",
    "greater_than": "it must be more than {gt:g}",
    "greater_than_equal": "a number from {ge:g} is wanted, not {input!r}",
    "less_than_equal": "a number to {le:g} is wanted, not {input!r}",
    "int_type": "a whole number is wanted, not {input!r}",
    "bool_type": "true or false is wanted, not {input!r}",
    "string_pattern_mismatch": "a name of letters, digits and _.:/@+- is wanted, not {input!r}",
    "too_short": "there are none",
    "value_error": "{error}",
}


def _secret(reference: str) -> str:
    parse(reference)
    return reference


def _url(address: str) -> str:
    try:
        url = urlsplit(address)
        good = url.scheme in {"http", "https"} and url.hostname and not (url.query or url.fragment or url.username)
        good = good and url.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError("it is not like https://host/v1")
    return address.rstrip("/")


def _told(text: str) -> str:
    if not text.strip():
        raise ValueError("a text is wanted")
    return text


def _ordered(cuts: tuple[float, float]) -> tuple[float, float]:
    if cuts[0] > cuts[1]:
        raise ValueError("the first is larger than the second")
    return cuts


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


# What a header and a table's key can hold.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/@+-]{1,128}$")]
TierWord = Literal["fast", "balanced", "quality"]
Amount = Annotated[float, Field(ge=0)]
Tokens = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class ServerShape(_Shape):
    url: Annotated[str, AfterValidator(_url)] = ""
    region: Annotated[str, Field(pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$")] = ""
    key: str = ""
    secret: Annotated[str, AfterValidator(_secret)] = ""
    kind: Literal["", "openai", "azure", "bedrock", "anthropic", "simulator", "unknown"] = ""
    dialects: frozenset[Endpoint] = frozenset()


class TemplatesShape(_Shape):
    simple: str = ""
    default: str = ""
    complex: str = ""
    cuts: Annotated[tuple[Share, Share], AfterValidator(_ordered)] = (1 / 3, 2 / 3)


class ModelShape(_Shape):
    name: Name
    upstream: Annotated[list[Name], BeforeValidator(_one_or_more)] = []
    model: str = ""
    tier: TierWord
    price_in: Amount = 0.0
    price_out: Amount = 0.0
    window: Tokens = 0
    output_limit: Tokens = 0
    capabilities: frozenset[Capability] = frozenset()
    ttft_ms: Annotated[float, Field(ge=0, le=600_000)] = 500.0
    tokens_per_second: Annotated[float, Field(gt=0)] = 50.0
    group: Name = ""
    fallbacks: tuple[Name, ...] = ()
    list_prompts: bool = False
    dialects: frozenset[Endpoint] = frozenset()
    templates: TemplatesShape | None = None


class AliasShape(_Shape):
    models: tuple[Name, ...] = ()
    floor: TierWord = "fast"
    quality: Share | None = None
    prefer: Literal["latency", "price"] | None = None
    templates: TemplatesShape | None = None


class CatalogueShape(_Shape):
    upstreams: dict[str, ServerShape] = {}
    models: Annotated[list[ModelShape], Field(min_length=1)]
    aliases: dict[Name, AliasShape] = {}
    templates: dict[str, Annotated[str, AfterValidator(_told)]] = {}


def read(text: str) -> Catalogue:
    """The catalogue of this JSON text."""
    try:
        shape = CatalogueShape.model_validate_json(text)
    except ValidationError as error:
        raise _first(error, text) from None
    servers = {name: _server(name, given) for name, given in shape.upstreams.items()}
    templates = {name: Template(name, words) for name, words in shape.templates.items()}
    models: dict[str, Model] = {}
    for given in shape.models:
        for model in _models(given, servers, templates):
            _new(model.name, models, f"model {model.name!r}")
            models[model.name] = model
    _check_fallbacks(models)
    return Catalogue(models, _aliases(shape.aliases, models, templates), servers)


def _first(error: ValidationError, text: str) -> ValueError:
    """The first thing that is wrong, in our words."""
    found = error.errors(include_url=False)[0]
    if found["type"] == "json_invalid":
        where = "" if text.startswith("{") else ". A catalogue that lies in a file is named as file:PATH"
        return ValueError(f"{VARIABLE} is no JSON: {found['msg']}{where}")
    entry, shape, path = _place(found["loc"], text)
    field = ".".join(str(part) for part in path if isinstance(part, str))
    context: dict[str, Any] = found.get("ctx", {})
    if "expected" in context:
        context["expected"] = context["expected"].replace("'", "").replace(" or ", ", ")
    near, words = _near(field, shape.model_fields), WORDS.get(found["type"], found["msg"])
    return _wrong(entry, field, words.format(input=found["input"], near=near, **context))


def _place(path: tuple[int | str, ...], text: str) -> tuple[str, type[_Shape], tuple[int | str, ...]]:
    """Of an error's path: the entry in words, what shape it should have, and the path inside it."""
    match path:
        case ("models", int(at), *rest):
            given = json.loads(text)["models"][at]
            named = given.get("name") if isinstance(given, dict) else None
            return f"model {named!r}" if isinstance(named, str) else f"model {at + 1}", ModelShape, tuple(rest)
        case ("upstreams", name, *rest):
            return f"upstream {name!r}", ServerShape, tuple(rest)
        case ("aliases", name, *rest):
            return f"alias {name!r}", AliasShape, tuple("name" if part == "[key]" else part for part in rest)
        case ("templates", name, *_):
            return f"template {name!r}", CatalogueShape, ("text",)
    return "the catalogue", CatalogueShape, path


def _check_fallbacks(models: Mapping[str, Model]) -> None:
    for model in models.values():
        for name in model.fallbacks:
            if name not in models or name == model.name:
                raise _wrong(f"model {model.name!r}", "fallbacks", f"{name!r} is no other model{_near(name, models)}")


def _server(name: str, given: ServerShape) -> Server:
    if given.key and given.secret:
        raise _wrong(f"upstream {name!r}", "secret", "there is a `key` already")
    if given.region and (given.url or given.key or given.secret or given.kind not in ("", "bedrock")):
        raise _wrong(f"upstream {name!r}", "region", "a region of Bedrock has neither url nor key, and no other kind")
    if not (given.region or given.url):
        raise _wrong(f"upstream {name!r}", "url", "it is missing")
    spoken = ",".join(sorted(given.dialects))
    return Server(name, given.url, given.key, given.secret, given.kind, given.region, spoken)


def _models(given: ModelShape, servers: Mapping[str, Server], templates: Mapping[str, Template]) -> list[Model]:
    """One deployment for each upstream that it names; several make a group with the model's name."""
    entry, name = f"model {given.name!r}", given.name
    upstreams = tuple(dict.fromkeys(given.upstream))
    for server in upstreams:
        if server not in servers:
            raise _wrong(entry, "upstream", f"{server!r} is no upstream of the catalogue{_near(server, servers)}")
    model = Model(
        name=name,
        tier=Tier.of(given.tier),
        served=given.model or name,
        price_in=given.price_in,
        price_out=given.price_out,
        window=given.window,
        output_limit=given.output_limit,
        capabilities=given.capabilities,
        ttft=given.ttft_ms / MILLISECONDS,
        speed=given.tokens_per_second,
        group=given.group,
        fallbacks=tuple(dict.fromkeys(given.fallbacks)),
        list_prompts=given.list_prompts,
        templates=_chosen(entry, given.templates, templates),
        dialects=given.dialects,
    )
    if not upstreams[1:]:
        return [replace(model, server="".join(upstreams))]
    if model.group:
        raise _wrong(entry, "group", "a model with several upstreams is a group of its own")
    return [replace(model, name=f"{name}@{server}", server=server, group=name) for server in upstreams]


def _chosen(entry: str, given: TemplatesShape | None, templates: Mapping[str, Template]) -> Templates | None:
    if given is None:
        return None
    for field, name in (("simple", given.simple), ("default", given.default), ("complex", given.complex)):
        if name and name not in templates:
            raise _wrong(entry, f"templates.{field}", f"there is no template {name!r}{_near(name, templates)}")
    simple, default, other = (templates.get(name) for name in (given.simple, given.default, given.complex))
    return Templates(simple, default, other, given.cuts)


def _aliases(
    given: Mapping[str, AliasShape], models: Mapping[str, Model], templates: Mapping[str, Template]
) -> dict[str, Alias]:
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
    for name, shape in given.items():
        _new(name, {**models, **made}, f"alias {name!r}")
        own[name] = _alias(name, shape, models, templates)
    return {**found, **made, **own}


def _alias(name: str, given: AliasShape, models: Mapping[str, Model], templates: Mapping[str, Template]) -> Alias:
    entry, floor = f"alias {name!r}", Tier.of(given.floor)
    members: list[Model] = []
    for wanted in given.models:
        some = [one for one in models.values() if wanted in (one.name, one.group)]
        if not some:
            raise _wrong(entry, "models", f"{wanted!r} is no model{_near(wanted, models)}")
        members += some
    members = members or list(models.values())
    if all(one.tier < floor for one in members):
        raise _wrong(entry, "floor", f"no model of it is {floor.word} or better")
    return Alias(
        name=name,
        models=tuple(dict.fromkeys(members)),
        floor=floor,
        quality=given.quality,
        prefer=given.prefer,
        templates=_chosen(entry, given.templates, templates),
    )


def _new(name: str, names: Mapping[str, object], entry: str) -> None:
    if name in names:
        raise _wrong(entry, "name", "there is another of this name")


def _wrong(entry: str, field: str, what: str) -> ValueError:
    place = f"{entry}, field {field!r}" if field else entry
    return ValueError(f"{VARIABLE}: {place}: {what}")


def _near(name: str, names: Mapping[str, object]) -> str:
    near = get_close_matches(name, names, 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
