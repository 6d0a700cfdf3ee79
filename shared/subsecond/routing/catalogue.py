"""The models that there are, and the names that stand for more than one of them. `load` makes it of its setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias

from subsecond.aws.secrets import STORES, secret_at_start
from subsecond.config import Settings
from subsecond.errors import InvalidRequest, NotFound
from subsecond.model import Endpoint

Capability: TypeAlias = Literal["json_schema", "tools", "vision"]
VARIABLE = "SUBSECOND_CATALOGUE"
# Names that are proposed for one that there is not.
NEAREST = 3


class Tier(IntEnum):
    """Ordered: as text, balanced would come before fast."""

    FAST = 0
    BALANCED = 1
    QUALITY = 2

    @classmethod
    def of(cls, word: str) -> Tier:
        """KeyError where there is none of this name."""
        return cls[word.upper()]

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Server:
    """Where models are asked. `key` is the key itself, `secret` where it lies (as SUBSECOND_UPSTREAM_SECRET). kind: as
    SUBSECOND_UPSTREAM_KIND; empty where the address tells it. region: of Bedrock, which has no address here. dialects:
    as SUBSECOND_UPSTREAM_DIALECTS."""

    name: str
    url: str
    key: str = field(default="", repr=False)
    secret: str = ""
    kind: str = ""
    region: str = ""
    dialects: str = ""

    def settings(self, settings: Settings) -> Settings:
        """The settings of an upstream adapter for it."""
        # What asks Bedrock asks no address.
        usual = "openai" if settings.upstream == "bedrock" else settings.upstream
        return replace(
            settings,
            upstream="bedrock" if self.region else usual,
            bedrock_region=self.region or settings.bedrock_region,
            upstream_url=self.url,
            upstream_key=self.key,
            upstream_secret=self.secret,
            upstream_kind=self.kind,
            upstream_dialects=self.dialects,
        )


@dataclass(frozen=True, slots=True)
class Template:
    """A system message for requests of one difficulty. `text` is sent as it stands."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Templates:
    """By difficulty. None: nothing is inserted. cuts: what lies below the first is simple, from the second on it is
    complex."""

    simple: Template | None = None
    default: Template | None = None
    complex: Template | None = None
    cuts: tuple[float, float] = (1 / 3, 2 / 3)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One deployment. Two are equal when they are the same object: a selection compares them hundreds of times.

    server: "" for the gateway's own (SUBSECOND_UPSTREAM_URL). served: its name there. Prices for a million tokens, in
    any one currency. window, output_limit: tokens, 0 where not known: then everything fits. ttft (seconds) and speed
    (tokens a second) are what is believed until it was measured. group: deployments of one group answer alike.
    fallbacks: other models' names that may answer in its place.
    """

    name: str
    tier: Tier
    server: str = ""
    served: str = ""
    price_in: float = 0.0
    price_out: float = 0.0
    window: int = 0
    output_limit: int = 0
    capabilities: frozenset[Capability] = frozenset()
    ttft: float = 0.5
    speed: float = 50.0
    group: str = ""
    fallbacks: tuple[str, ...] = ()
    list_prompts: bool = False
    templates: Templates | None = None
    # What it is asked in; empty: all that its server speaks.
    dialects: frozenset[Endpoint] = frozenset()


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that stands for a choice. floor: no lower tier. quality, prefer: None for the settings' own.
    by_difficulty: False where the lowest tier that fits is taken, whatever the question."""

    name: str
    models: tuple[Model, ...]
    floor: Tier = Tier.FAST
    quality: float | None = None
    prefer: str | None = None
    by_difficulty: bool = True
    templates: Templates | None = None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """By name, in the order of the configuration. Groups are aliases of their members."""

    models: Mapping[str, Model]
    aliases: Mapping[str, Alias]
    servers: Mapping[str, Server] = field(default_factory=dict)

    def find(self, name: str) -> Model | Alias:
        """Raises NotFound, in OpenAI's shape, with the nearest names."""
        found = self.models.get(name) or self.aliases.get(name)
        if found is None:
            raise unknown(name, (*self.models, *self.aliases))
        return found

    def speaking(self, endpoint: Endpoint, spoken: Mapping[str, frozenset[Endpoint]]) -> Catalogue:
        """Of the models that speak this dialect alone, so that none of the others is chosen or stands in. spoken: what
        each server speaks, by its name."""
        names = [one.name for one in self.models.values() if endpoint in (one.dialects or spoken[one.server])]
        if len(names) == len(self.models):
            return self
        models = {name: self.models[name] for name in names}
        for name, one in models.items():
            if not models.keys() >= set(one.fallbacks):
                models[name] = replace(one, fallbacks=tuple(other for other in one.fallbacks if other in models))
        left = {
            name: tuple(models[one.name] for one in alias.models if one.name in models)
            for name, alias in self.aliases.items()
        }
        aliases = {name: replace(self.aliases[name], models=some) for name, some in left.items() if some}
        return Catalogue(models, aliases, self.servers)

    def equivalents(self, model: Model) -> Iterable[Model]:
        """Its group's other deployments."""
        if not model.group:
            return ()
        return (other for other in self.models.values() if other.group == model.group and other.name != model.name)

    def reached(self, name: str) -> Iterable[Model]:
        """The models that may answer who asks for this name: whatever is chosen or stands in."""
        found = self.find(name)
        left, seen = list(found.models if isinstance(found, Alias) else (found,)), dict[str, Model]()
        while left:
            model = left.pop()
            if model.name not in seen:
                seen[model.name] = model
                left += [*self.equivalents(model), *(self.models[other] for other in model.fallbacks)]
        return seen.values()

    def group(self, name: str) -> tuple[Model, ...]:
        """The models that answer alike under this name: a model and its group, or a group. Raises NotFound, and
        InvalidRequest for a name that stands for several models."""
        found = self.find(name)
        if isinstance(found, Model):
            return (found, *self.equivalents(found))
        if len(found.models) > 1 and len({one.group or one.name for one in found.models}) > 1:
            names = ", ".join(one.name for one in found.models[:NEAREST])
            raise InvalidRequest(
                f"The name {name[:80]!r} stands for models that answer differently. Ask for one of them, as {names}.",
                param="model",
                code="ambiguous_model",
            )
        return found.models

    def listing(self) -> dict[str, Any]:
        """As `GET /v1/models` gives it: aliases first, `auto` at the top."""
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "subsecond"} for name in self.aliases]
        data += [
            {"id": one.name, "object": "model", "created": 0, "owned_by": one.server or "default"}
            for one in self.models.values()
        ]
        return {"object": "list", "data": data}


def unknown(name: str, names: Iterable[str]) -> NotFound:
    known = {one.lower(): one for one in names}
    near = [known[one] for one in get_close_matches(name.lower(), known, NEAREST, 0.5)]
    hint = f"The nearest: {', '.join(near)}." if near else "GET /v1/models lists what there is."
    return NotFound(f"The model {name[:80]!r} does not exist. {hint}", param="model", code="model_not_found")


def standard_aliases(models: Iterable[Model]) -> list[Alias]:
    """`auto` by difficulty; `auto:TIER` that tier, a higher one where none of it fits, never a lower one."""
    every = tuple(models)
    tiers = [Alias(f"auto:{tier.word}", every, floor=tier, by_difficulty=False) for tier in Tier]
    return [Alias("auto", every), *tiers]


def load(text: str) -> Catalogue | None:
    """From SUBSECOND_CATALOGUE: JSON, `file:PATH`, or `ssm:NAME` or `secretsmanager:NAME` (as for a key). None when
    empty. ValueError."""
    text = text.strip()
    if not text:
        return None
    from subsecond.routing.parsing import read  # its shapes take 20 ms to build

    if text.startswith("file:"):
        try:
            text = Path(text.removeprefix("file:")).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{VARIABLE}: {text[:200]} cannot be read ({type(error).__name__})") from None
    elif text.startswith(tuple(f"{store}:" for store in STORES)):
        try:
            text = secret_at_start(text)
        except ValueError as error:
            raise ValueError(f"{VARIABLE}: {error}") from None
    return read(text)
