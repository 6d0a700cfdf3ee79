"""The route of a call, for one environment: what `selection` needs to know of it, and what has become of its
conversation before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from time import monotonic
from typing import Any, get_args

from subsecond.config import Settings
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import DialectNotSpoken, InvalidRequest
from subsecond.model import Call, Endpoint, Tenant
from subsecond.routing import difficulty, templates
from subsecond.routing.catalogue import Alias, Capability, Catalogue, Model, Tier, load
from subsecond.routing.health import Prediction
from subsecond.routing.selection import Choice, RequestFeatures, RoutingPolicy, listed, select
from subsecond.stats.trace import Attempt
from subsecond.upstreams.kind import dialects_of

# Conversations whose model is remembered.
CONVERSATIONS = 10_000
# User turns that are scored: the first one and the latest.
TURNS = 4
# Characters of the start of a conversation that tell it from others.
OPENING = 4_000
# Tokens are guessed on the long side: prose has 4 to 5 characters a token, code 3, other scripts down to 1.
CHARACTERS, PER_MESSAGE, PER_IMAGE = 3, 4, 800
IMAGES = frozenset({"image_url", "input_image", "image"})


@dataclass(frozen=True, slots=True)
class RoutingOverrides:
    """The request's own word: `subsecond.quality`, `subsecond.floor` (a tier's name), `subsecond.prefer`."""

    quality: float | None = None
    floor: str | None = None
    prefer: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """The choice, and the template for each model that may answer. conversation: by which it is remembered."""

    choice: Choice
    alias: Alias | None
    conversation: str = ""

    def sent(self, call: Call, model: Model) -> Call:
        """What is sent to the model: its name there, and the template's text where there is one."""
        chosen = (self.alias.templates if self.alias else None) or model.templates
        template = templates.pick(chosen, self.choice.difficulty)
        return templates.applied(replace(call, model=model.served or model.name), template)

    def line(self, attempts: Iterable[Attempt], answers: str | None) -> str:
        """For the header `x-subsecond-route`, in ASCII: the model that `answers`, in whose place, who else was tried,
        and why. None: nobody answers."""
        chosen = self.choice.model.name
        tried = {one.model: one.outcome for one in attempts if one.model != answers and one.kind != "judge"}
        parts = [answers or "none"]
        if answers and answers != chosen:
            parts.append(f"in place of {listed({chosen: tried.pop(chosen, 'not asked')})}")
        if tried:
            parts.append(f"tried {listed(tried)}")
        return "; ".join((*parts, *self.choice.why))

    def public(self) -> dict[str, Any]:
        """For the trace."""
        choice = self.choice
        return {
            "model": choice.model.name,
            "tier": choice.model.tier.word,
            "difficulty": None if choice.difficulty is None else round(choice.difficulty, 4),
            "reasons": list(choice.reasons),
            "skipped": dict(choice.skipped),
            "fallbacks": [one.name for one in choice.fallbacks],
            "late": choice.late,
        }


class Router:
    """Used from one event loop. `score`: a text's difficulty; None where it is switched off."""

    def __init__(
        self,
        catalogue: Catalogue,
        policy: RoutingPolicy,
        scorer: difficulty.Scorer | None,
        spoken: Mapping[str, frozenset[Endpoint]] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self._spoken = spoken
        self._speaking: dict[Endpoint, Catalogue] = {}
        self._policy = policy
        self._ranks = difficulty.Ranks()
        self._previous_model: OrderedDict[str, str] = OrderedDict()
        # A turn comes again in every later turn of its conversation.
        self._score = lru_cache(1024)(scorer.score) if scorer else None

    @classmethod
    def of(cls, settings: Settings) -> Router | None:
        """None without a catalogue: then every name goes to the one upstream. ValueError names what does not fit."""
        catalogue = load(settings.catalogue)
        if catalogue is None:
            return None
        policy = RoutingPolicy(settings.quality, settings.prefer, settings.expected_answer, settings.output_reserve)
        spoken = {name: dialects_of(server.settings(settings)) for name, server in catalogue.servers.items()}
        spoken[""] = dialects_of(settings)
        return cls(catalogue, policy, difficulty.load(settings.difficulty), spoken)

    def known(self, call: Call) -> Catalogue:
        """The models that speak the call's dialect. Raises NotFound for a name that there is not, DialectNotSpoken for
        one that has none of them."""
        self.catalogue.find(call.model)
        found = self._that_speak(call.endpoint)
        if not _has(found, call.model):
            spoken = [one for one in get_args(Endpoint) if _has(self._that_speak(one), call.model)]
            raise DialectNotSpoken(dialect_of(call.endpoint).name, spoken)
        return found

    def _that_speak(self, endpoint: Endpoint) -> Catalogue:
        found = self._speaking.get(endpoint)
        if found is None:
            found = self.catalogue.speaking(endpoint, self._spoken) if self._spoken else self.catalogue
            self._speaking[endpoint] = found
        return found

    def route(
        self,
        call: Call,
        tenant: Tenant,
        predict: Callable[[str], Prediction] | None = None,
        overrides: RoutingOverrides | None = None,
        *,
        now: float | None = None,
    ) -> Route:
        """Raises what `select` raises. predict: by a model's name; the catalogue's priors without it. now:
        monotonic seconds."""
        catalogue = self.known(call)
        found = catalogue.find(call.model)
        alias = found if isinstance(found, Alias) else None
        conversation = conversation_of(call, tenant)
        # Of one key, as two users of a namespace often begin alike.
        key = f"{tenant.key}|{conversation}|{call.model}"
        overrides = overrides or RoutingOverrides()
        features = RequestFeatures(
            asked=call.model,
            conversation=conversation,
            tokens=tokens_of(call),
            output=output_of(call),
            needs=needs_of(call),
            time_left=None if call.deadline is None else call.deadline - (monotonic() if now is None else now),
            difficulty=self._difficulty(user_texts(call)) if self._wants_score(found) else None,
            floor=_floor(overrides.floor),
            quality=overrides.quality,
            prefer=overrides.prefer,
            previous=self._previous_model.get(key, "") if _goes_on(call) else "",
        )
        expected = {one.name: predict(one.name) for one in alias.models} if alias and predict else {}
        choice = select(features, catalogue, expected, self._policy)
        if alias:
            self._keep(key, choice.model.name)
        return Route(choice, alias, key)

    def answered(self, route: Route, name: str) -> None:
        """The model `name` answers. Where it does so in place of another deployment of its group, the conversation
        stays there: its prefix lies in that one's cache now."""
        alike = {one.name for one in self.catalogue.equivalents(self.catalogue.models[name])}
        if route.alias and route.choice.model.name in alike:
            self._keep(route.conversation, name)

    def _wants_score(self, found: Model | Alias) -> bool:
        if not isinstance(found, Alias):
            return found.templates is not None
        return found.by_difficulty or found.templates is not None or any(one.templates for one in found.models)

    def _difficulty(self, texts: list[str]) -> float | None:
        """Of the conversation's user turns, the hardest: a model that was good enough for an earlier one stays."""
        if self._score is None or not texts:
            return None
        # Clipped, as the scorer reads them, so that what is remembered of them is small.
        turns = [difficulty.clipped(text) for text in (*(texts[:1] if texts[1:] else ()), *texts[-TURNS:])]
        hardest = difficulty.hardest([self._score(text) for text in turns])
        return None if hardest is None else self._ranks.percentile(hardest)

    def _keep(self, key: str, model: str) -> None:
        self._previous_model[key] = model
        self._previous_model.move_to_end(key)
        if len(self._previous_model) > CONVERSATIONS:
            self._previous_model.popitem(last=False)


def _floor(name: str | None) -> Tier | None:
    if name is None:
        return None
    try:
        return Tier.of(name)
    except KeyError:
        words = ", ".join(tier.word for tier in Tier)
        raise InvalidRequest(
            f"'subsecond.floor': {name[:40]!r} is not one of {words}.", param="subsecond.floor", code="invalid_value"
        ) from None


def conversation_of(call: Call, tenant: Tenant) -> str:
    """The same for all turns of a conversation: the partition and the messages up to the first user's."""
    opening: list[str] = []
    for message in dialect_of(call.endpoint).turns(call.body):
        opening.append(f"{message.get('role')}:{''.join(_texts(message))[:OPENING]}")
        if message.get("role") == "user":
            break
    text = "\n".join([tenant.partition, *opening])
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _goes_on(call: Call) -> bool:
    """Whether it is more than a first turn. The same first question asked again is another conversation."""
    return any(one.get("role") == "assistant" for one in dialect_of(call.endpoint).turns(call.body))


def user_texts(call: Call) -> list[str]:
    """The user's turns, the earliest first."""
    users = (one for one in dialect_of(call.endpoint).turns(call.body) if one.get("role") == "user")
    return [text for one in users if (text := "\n".join(_texts(one)))]


def needs_of(call: Call) -> frozenset[Capability]:
    """What a model must be able to do for this request."""
    dialect, body = dialect_of(call.endpoint), call.body
    found: set[Capability] = set()
    if body.get("tools") or body.get("functions"):
        found.add("tools")
    wanted = dialect.format(body)
    if isinstance(wanted, Mapping) and wanted.get("type") == "json_schema":
        found.add("json_schema")
    if any(_is_image(part) for message in dialect.turns(body) for part in _parts(message)):
        found.add("vision")
    return frozenset(found)


def output_of(call: Call) -> int | None:
    """The answer's limit in tokens."""
    found = dialect_of(call.endpoint).limit(call.body)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def tokens_of(call: Call) -> int:
    """The request's tokens, guessed on the long side, in microseconds: the optimiser counts when it has to fit."""
    dialect, total = dialect_of(call.endpoint), 0
    for message in dialect.turns(call.body):
        total += PER_MESSAGE + sum(map(_guess, _texts(message)))
        total += PER_IMAGE * sum(_is_image(part) for part in _parts(message))
        total += _guess(str(calls)) if (calls := message.get("tool_calls")) else 0
    beside = (call.body.get("tools"), dialect.format(call.body))
    return total + sum(_guess(str(value)) for value in beside if value)


def _has(catalogue: Catalogue, name: str) -> bool:
    return name in catalogue.models or name in catalogue.aliases


def _guess(text: str) -> int:
    if text.isascii():
        return len(text) // CHARACTERS + 1
    other = len(text) - len(text.encode("ascii", "ignore"))
    return other + (len(text) - other) // CHARACTERS + 1


def _parts(message: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    content = message.get("content")
    return [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []


def _is_image(part: Mapping[str, Any]) -> bool:
    return isinstance(kind := part.get("type"), str) and kind in IMAGES


def _texts(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    return [text for part in _parts(message) if isinstance(text := part.get("text"), str)]
