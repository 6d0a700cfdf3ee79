"""Which model answers a request: pure, the same for the same input, and explained.

The rules, in this order: capability, tier floor, context, health, difficulty, deadline, preference. Each takes models
away and says so; where a rule would leave none, its nearest choice is taken (see `select`), but the floor is never
stepped below. Sticky: a conversation stays with its model while that is good enough, and equal models are told apart
by the conversation's hash, so that the provider's prefix cache is met again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from subsecond.errors import InvalidRequest, Unavailable
from subsecond.routing.catalogue import Alias, Capability, Catalogue, Model, Tier
from subsecond.routing.health import Prediction

# A model that needs no more than this factor of the fastest one's time counts as equally fast.
ALIKE = 1.25
# Tokens of an answer's first words.
FIRST_WORDS = 16
# The 95th percentile of the TTFT is taken to be so many times the prior, until it was measured.
PRIOR_TAIL = 2.0
MILLION = 1e6
# More than any two tiers are apart.
ABOVE = len(Tier)
# What models are sorted by.
Rank = tuple[float | int, ...]
# An explanation is one header: what was skipped is named up to here.
MOST_LISTED = 3


@dataclass(frozen=True, slots=True)
class RequestFeatures:
    """What the rules need to know of a request.

    asked: the model or alias, as it was asked for. conversation: the same text for all turns of one. tokens: of the
    request; output: of the answer at the most, None where there is no limit. time_left: in seconds. difficulty: the
    share of questions that are easier, None where that cannot be said: then it counts as hard. floor, quality, prefer:
    the request's own, None for the alias's or the settings'. previous: the model of the conversation's last turn.
    """

    asked: str
    conversation: str = ""
    tokens: int = 0
    output: int | None = None
    needs: frozenset[Capability] = frozenset()
    time_left: float | None = None
    difficulty: float | None = None
    floor: Tier | None = None
    quality: float | None = None
    prefer: str | None = None
    previous: str = ""


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """quality: the share of questions for the best tier. prefer: `latency` or `price`. answer: tokens that an answer is
    taken to have. reserve: tokens that must be left in the window where the request has no limit of its own."""

    quality: float = 0.5
    prefer: str = "latency"
    answer: int = 256
    reserve: int = 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """fallbacks: who may answer instead, the best first; none is below the floor. skipped: models by the rule that took
    them away. late: no model was predicted to make the deadline."""

    model: Model
    fallbacks: tuple[Model, ...] = ()
    reasons: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    late: bool = False
    difficulty: float | None = None

    @property
    def line(self) -> str:
        """The model, and why, in one line of ASCII."""
        return "; ".join((self.model.name, *self.why))

    @property
    def why(self) -> tuple[str, ...]:
        return (*self.reasons, "skipped " + listed(self.skipped)) if self.skipped else self.reasons


def listed(found: Mapping[str, str]) -> str:
    """`NAME (WHY), ... and N more`."""
    named = [f"{name} ({why})" for name, why in list(found.items())[:MOST_LISTED]]
    more = len(found) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def select(
    features: RequestFeatures, catalogue: Catalogue, predictions: Mapping[str, Prediction], policy: RoutingPolicy
) -> Choice:
    """Raises NotFound for a name that there is not, InvalidRequest when a model is asked for by its name and a tier
    above it as well, Unavailable when no model fits.

    The nearest choices: no window is large enough: the largest (the optimiser fits the request, or refuses it). All
    circuits are open: as if none were. None makes the deadline: the one predicted to end first, marked late.
    """
    found = catalogue.find(features.asked)
    if isinstance(found, Model):
        return _explicit(features, found, catalogue, policy)
    return _Selection(features, found, catalogue, predictions, policy).choice()


def _explicit(features: RequestFeatures, model: Model, catalogue: Catalogue, policy: RoutingPolicy) -> Choice:
    """The model asked for, whatever is known of it. Its fallbacks: its equivalents, and what the catalogue names."""
    if features.floor is not None and model.tier < features.floor:
        raise InvalidRequest(
            f"The model {model.name!r} is {model.tier.word}, and 'subsecond.floor' asks for {features.floor.word}.",
            param="subsecond.floor",
            code="invalid_value",
        )
    floor = Tier.FAST if features.floor is None else features.floor
    return Choice(model, _in_place_of(features, model, (), catalogue, floor, policy), ("asked for by name",))


def _in_place_of(
    features: RequestFeatures,
    model: Model,
    others: Iterable[Model],
    catalogue: Catalogue,
    floor: Tier,
    policy: RoutingPolicy,
) -> tuple[Model, ...]:
    """Equivalent deployments, then the models that the catalogue names, then others; none that cannot do it."""
    named = (catalogue.models[name] for name in model.fallbacks)
    wanted = dict.fromkeys((*catalogue.equivalents(model), *named, *others))
    wanted.pop(model, None)
    return tuple(
        one
        for one in wanted
        if one.tier >= floor and features.needs <= one.capabilities and _fits(features, one, policy)
    )


def _fits(features: RequestFeatures, model: Model, policy: RoutingPolicy) -> bool:
    """Whether the request and its answer fit into the window, and the answer under the model's limit."""
    output = features.output
    if output is not None and model.output_limit and output > model.output_limit:
        return False
    if output is None:
        output = min(policy.reserve, model.output_limit or policy.reserve)
    return not model.window or features.tokens + output <= model.window


def cost(features: RequestFeatures, model: Model, policy: RoutingPolicy) -> float:
    """The predicted price of the call."""
    return (features.tokens * model.price_in + _answer(features, model, policy) * model.price_out) / MILLION


def _answer(features: RequestFeatures, model: Model, policy: RoutingPolicy) -> int:
    """Tokens that the answer is taken to have."""
    expected = policy.answer if features.output is None or features.output > policy.answer else features.output
    return model.output_limit if 0 < model.output_limit < expected else expected


def prior(model: Model) -> Prediction:
    return Prediction(model.ttft, model.ttft * PRIOR_TAIL, model.speed, error_rate=0.0)


class _Selection:
    """One selection: the models that are left, and what was said on the way."""

    def __init__(
        self,
        features: RequestFeatures,
        alias: Alias,
        catalogue: Catalogue,
        predictions: Mapping[str, Prediction],
        policy: RoutingPolicy,
    ) -> None:
        self._features = features
        self._alias = alias
        self._catalogue = catalogue
        self._policy = policy
        self._floor = max(alias.floor, features.floor if features.floor is not None else Tier.FAST)
        self._known = {one.name: predictions.get(one.name) or prior(one) for one in alias.models}
        self._skipped: dict[str, str] = {}
        self._reasons: list[str] = []
        self._late = False

    def choice(self) -> Choice:
        features, policy = self._features, self._policy
        left = self._filtered("capability", self._alias.models, lambda one: features.needs <= one.capabilities)
        # The floor's own rule comes first: a nearest choice is then one above it.
        left = self._filtered("floor", left, lambda one: one.tier >= self._floor)
        if not left:
            raise self._nothing()
        left = self._filtered_or_nearest("context", left, lambda one: _fits(features, one, policy), self._largest)
        left = self._filtered_or_nearest("circuit_open", left, lambda one: not self._known[one.name].circuit_open, list)
        wanted = self._wanted(left)
        in_time = self._in_time(left)
        alike = ALIKE * min(map(self._perceived, in_time))
        ranks = {one: self._rank(one, wanted, alike) for one in in_time}
        ranked = sorted(in_time, key=ranks.__getitem__)
        model = self._sticky(ranked, ranks, wanted)
        self._reasons.insert(0, f"{self._alias.name} -> {model.tier.word}")
        rest = [one for one in ranked if one is not model]
        rest += [one for one in left if one not in in_time]
        fallbacks = _in_place_of(features, model, rest, self._catalogue, self._floor, policy)
        fallbacks = tuple(sorted(fallbacks, key=lambda one: self._skipped.get(one.name) == "circuit_open"))
        return Choice(model, fallbacks, tuple(self._reasons), self._skipped, self._late, difficulty=features.difficulty)

    def _filtered(self, rule: str, models: Iterable[Model], fits: Callable[[Model], bool]) -> list[Model]:
        left = []
        for one in models:
            if fits(one):
                left.append(one)
            else:
                self._skipped[one.name] = rule
        return left

    def _filtered_or_nearest(
        self,
        rule: str,
        models: list[Model],
        fits: Callable[[Model], bool],
        nearest: Callable[[list[Model]], list[Model]],
    ) -> list[Model]:
        """As `_filtered`; where none is left, the rule's nearest choice."""
        left = [one for one in models if fits(one)] or nearest(models)
        if not any(map(fits, left)):
            self._reasons.append(f"no model passes the rule {rule}: nearest taken")
        kept = {one.name for one in left}
        self._skipped.update({one.name: rule for one in models if one.name not in kept})
        return left

    @staticmethod
    def _largest(models: list[Model]) -> list[Model]:
        widest = max(one.window for one in models)
        return [one for one in models if one.window == widest]

    def _nothing(self) -> Unavailable:
        needs = ", ".join(sorted(self._features.needs)) or "nothing special"
        return Unavailable(
            f"No model of {self._alias.name!r} fits: the request needs {needs} and a tier of {self._floor.word} or "
            "better.",
            param="model",
            code="no_model_fits",
        )

    def _wanted(self, left: Sequence[Model]) -> Tier:
        """The tier for this difficulty: of the tiers that are left the best for the share `quality` of all questions,
        the next for the same share of what remains, and so on."""
        tiers = sorted({one.tier for one in left})
        if not self._alias.by_difficulty or len(tiers) == 1:
            return tiers[0]
        choices = (self._features.quality, self._alias.quality, self._policy.quality)
        quality = next(one for one in choices if one is not None)
        difficulty = 1.0 if self._features.difficulty is None else self._features.difficulty
        known = "unknown" if self._features.difficulty is None else f"{difficulty:.2f}"
        bound = 1.0
        for tier in reversed(tiers[1:]):
            bound *= 1.0 - quality
            if quality and difficulty >= bound:
                self._reasons.append(f"difficulty {known} >= {bound:.2f}")
                return tier
        self._reasons.append(f"difficulty {known} < {bound:.2f}")
        return tiers[0]

    def _total(self, model: Model) -> float:
        """Seconds to the answer's end, when the first token is one of the late ones."""
        known = self._known[model.name]
        return known.ttft_p95 + _answer(self._features, model, self._policy) / max(known.tokens_per_second, 1e-3)

    def _perceived(self, model: Model) -> float:
        """Seconds to the first words: who reads a stream waits for these."""
        known = self._known[model.name]
        return known.ttft_p50 + FIRST_WORDS / max(known.tokens_per_second, 1e-3)

    def _in_time(self, left: list[Model]) -> list[Model]:
        """Those that make the deadline 19 times in 20; else the fastest."""
        time_left = self._features.time_left
        if time_left is None:
            return left
        found = [one for one in left if self._total(one) <= time_left]
        if not found:
            self._late = True
            found = [min(left, key=self._total)]
            self._reasons.append(f"none within {max(0.0, time_left) * 1000:.0f} ms: fastest taken")
        self._skipped.update({one.name: "deadline" for one in left if one not in found})
        return found

    def _rank(self, model: Model, wanted: Tier, alike: float) -> Rank:
        """Sorting order: the wanted tier, then the nearest below it that is left, then those above it; inside a tier
        the preference, then the conversation's hash."""
        distance = wanted - model.tier if model.tier <= wanted else ABOVE + model.tier - wanted
        time, price = max(alike, self._perceived(model)), cost(self._features, model, self._policy)
        tie_break = crc32(f"{self._features.conversation}|{model.name}".encode())
        prefer = self._features.prefer or self._alias.prefer or self._policy.prefer
        return (distance, price, time, tie_break) if prefer == "price" else (distance, time, price, tie_break)

    def _sticky(self, ranked: Sequence[Model], ranks: Mapping[Model, Rank], wanted: Tier) -> Model:
        """The conversation's model, while it passes every rule, is no lower than what is wanted now, and as near to
        what the request itself wishes as the best one is: an override goes before stickiness."""
        best = ranked[0]
        # A rank begins with the distance from the wanted tier and what is preferred.
        wished = 2 if self._features.prefer is not None else 1 if self._features.quality is not None else 0
        for one in ranked:
            as_wished = ranks[one][:wished] == ranks[best][:wished]
            if one.name == self._features.previous and as_wished and one.tier >= min(wanted, best.tier):
                self._reasons.append("same as before")
                return one
        return best
