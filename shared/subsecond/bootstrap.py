"""The one place that joins ports to adapters. The name in the settings picks the file; only that file is imported."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from subsecond.aio.lazy import Lazy
from subsecond.aws.secrets import STORES as SECRET_STORES
from subsecond.aws.secrets import secret_at_start
from subsecond.cache.cacheability import longest_life, ttl_rules
from subsecond.cache.fields_left_out import left_out, read_changes
from subsecond.cache.invalidation import Rules
from subsecond.cache.key import KeyPolicy
from subsecond.config import Settings
from subsecond.errors import Unavailable
from subsecond.model import Done, Prompt, Request, Tenant
from subsecond.pipeline import Gateway
from subsecond.setting_values import SETTINGS, check_choice, module_of
from subsecond.stages.embeddings import Embeddings
from subsecond.stages.flight import Sharing
from subsecond.stages.optimise import Optimising
from subsecond.stages.upstream import Models
from subsecond.stats.trace import Trace
from subsecond.stores.memory.embeddings import EmbeddingMemory
from subsecond.upstreams.admission import Admission, Limits
from subsecond.upstreams.kind import dialects_of, kind_of

if TYPE_CHECKING:
    from subsecond.model import Call, Recording
    from subsecond.optimiser import Optimiser
    from subsecond.ports import Upstream
    from subsecond.routing.router import Router
    from subsecond.semantic.verification.checker import Checker
    from subsecond.semantic.verification.checks import Checks
    from subsecond.stages.route import Routed
    from subsecond.stages.semantic import SemanticCache
    from subsecond.upstreams.list_prompts import Lists

# The adapters that the gateway itself is made of, and those of the semantic stage, which is made later.
PARTS = ("keys", "exact", "ledger", "hits")
SEMANTIC = ("embedder", "semantic", "objects")
# The policies whose hits are checked.
CHECKED = ("verified", "shadow")
# Who asks the judge, for admission and the catalogue.
JUDGE = Tenant("subsecond", "checks", "judge")


def adapter(port: str, settings: Settings) -> Any:
    """The configured adapter of `port`; ValueError lists the choices when there is no such file."""
    name = getattr(settings, port)
    check_choice(port, name)
    return import_module(module_of(port, name)).build(settings)


def from_environment() -> Settings:
    """The process's settings, those included that lie in a parameter or secret. ValueError names what does not fit."""

    def fetch(reference: str) -> str:
        try:
            # As a stack names it: a parameter's name begins so, and nothing else does.
            return secret_at_start(f"ssm:{reference}" if reference.startswith("/") else reference)
        except ValueError as error:
            raise ValueError(f"{SETTINGS}: {error}") from None

    return Settings.from_env(fetch=fetch)


def gateway(settings: Settings | None = None) -> Gateway:
    """The gateway of these settings (default: the environment's)."""
    settings = settings or from_environment()
    ttl_rules(settings.ttl_rules)
    parts = {port: adapter(port, settings) for port in PARTS}
    rules = Rules(adapter("invalidations", settings), longest_life(settings), box=settings.store_timeout)
    models = _models(settings)
    keying = key_policy(settings, models.routed.router if models.routed else None)
    checks = _checks(settings)
    return Gateway(
        settings=settings,
        **parts,
        models=models,
        optimising=Optimising(Lazy(partial(optimiser, settings)), always=_optimises(settings)),
        embeddings=Embeddings(models, rules, settings, EmbeddingMemory(settings.embeddings_bytes), keying),
        rules=rules,
        sharing=Sharing.of(None if settings.flights == "off" else adapter("flights", settings), rules, settings),
        semantic=_lazy_semantic_cache(settings, rules, checks),
        keying=keying,
        checks=checks,
    )


def check(settings: Settings) -> None:
    """What `Settings.from_env` does not see. ValueError names what does not fit. Nothing is opened: a catalogue that
    lies in a service is not read."""
    ttl_rules(settings.ttl_rules)
    read_changes(settings.key_ignores)
    dialects_of(settings)
    elsewhere = tuple(f"{store}:" for store in SECRET_STORES)
    if settings.catalogue and not settings.catalogue.startswith(elsewhere):
        from subsecond.routing.router import Router  # a gateway without a catalogue never loads it

        Router.of(settings)
    if settings.prices and not settings.prices.startswith(elsewhere):
        from subsecond.routing.prices import check_prices  # as above

        check_prices(settings.prices)


def key_policy(settings: Settings, router: Router | None) -> KeyPolicy:
    """Which fields count, by the kind of upstream that may answer. router: where there is a catalogue. ValueError names
    what does not fit."""
    changes = settings.key_ignores
    by_model: dict[str, frozenset[str]] = {}
    if router:
        catalogue = router.catalogue
        kinds = {name: kind_of(server.settings(settings)) for name, server in catalogue.servers.items()}
        kinds[""] = kind_of(settings)
        for name in (*catalogue.models, *catalogue.aliases):
            by_model[name] = left_out({kinds[one.server] for one in catalogue.reached(name)}, changes)
    return KeyPolicy(left_out([kind_of(settings)], changes), by_model, settings.scope, settings.volatile)


def _models(settings: Settings) -> Models:
    upstream, admission = adapter("upstream", settings), Admission(Limits.of(settings))
    routed = _routed(settings, upstream, admission) if settings.catalogue else None
    lists = _lists(settings, upstream) if settings.list_prompts and not routed else None
    owners = Lazy(partial(adapter, "owners", settings))
    return Models(upstream, admission, routed, lists, spoken=dialects_of(settings), owners=owners)


def _optimises(settings: Settings) -> bool:
    """Whether the optimiser has work without being asked by a request."""
    return settings.optimise != "off" or bool(settings.optimise_models) or settings.cache_markers != "off"


def _lists(settings: Settings, upstream: Upstream) -> Lists:
    from subsecond.upstreams.list_prompts import Lists

    return Lists(upstream, settings.batch_concurrency)


def _routed(settings: Settings, upstream: Upstream, admission: Admission) -> Routed | None:
    """What a gateway without a catalogue never loads. ValueError names what does not fit in it."""
    from subsecond.routing.attempts import AttemptTerms
    from subsecond.routing.health import Health
    from subsecond.routing.hedging import Hedges
    from subsecond.routing.histories import Prior
    from subsecond.routing.router import Router
    from subsecond.routing.speculation import Speculation
    from subsecond.stages.route import Routed

    router = Router.of(settings)
    if router is None:
        return None
    catalogue = router.catalogue
    upstreams = {name: adapter("upstream", server.settings(settings)) for name, server in catalogue.servers.items()}
    upstreams = {"": upstream} | upstreams
    takers = {one.server for one in catalogue.models.values() if one.list_prompts}
    lists = {name: _lists(settings, upstreams[name]) for name in takers}
    priors = {one.name: Prior(one.ttft, one.speed) for one in catalogue.models.values()}
    health = Health(adapter("healths", settings), priors, interval=settings.flush_interval)
    terms = AttemptTerms(admission, health, settings.fallback_after, Hedges.of(settings))
    speculation = Speculation.of(settings, catalogue.models) if settings.speculate else None
    return Routed(router, upstreams, terms, speculation, lists)


def _checks(settings: Settings) -> Checks | None:
    """A function without the semantic cache that knows the judge shows what was learned, or checks."""
    if not settings.judge and settings.semantic not in CHECKED:
        return None
    from subsecond.semantic.verification.checks import Checks

    return Checks(partial(adapter, "objects", settings))


def _lazy_semantic_cache(settings: Settings, rules: Rules, checks: Checks | None) -> Lazy[SemanticCache] | None:
    """Wrong names are told now; numpy and the embedder's table are loaded when a request first needs them."""
    if settings.semantic == "off":
        return None
    for setting in (*SEMANTIC, "caution"):
        check_choice(setting, getattr(settings, setting))
    return Lazy(partial(semantic_cache, settings, rules, checks))


async def settle(gateway: Gateway) -> None:
    """What was begun beside a request and must end before its environment is frozen, within a store's time."""
    if gateway.semantic and gateway.semantic.made:
        await gateway.semantic.made.reader.settle(gateway.settings.store_timeout)


async def close(gateway: Gateway) -> None:
    """At the process's end: merge the figures, end what still loads, close the connections."""
    await gateway.ledger.flush(force=True)
    semantic = gateway.semantic and gateway.semantic.made
    if semantic:
        await semantic.reader.close()
        if semantic.bounds:
            await semantic.bounds.close()
    routed = gateway.models.routed
    servers = routed.upstreams.values() if routed else [gateway.models.upstream]
    for part in (*servers, semantic and semantic.embedder):
        if aclose := getattr(part, "aclose", None):
            await aclose()


def optimiser(settings: Settings) -> Optimiser:
    """The prompt optimiser, loaded for the first call that uses it."""
    from subsecond.optimiser import Optimiser  # 27 ms that a hit does not need

    return Optimiser(settings)


def semantic_cache(settings: Settings, rules: Rules | None = None, checks: Checks | None = None) -> SemanticCache:
    """The semantic stage. It loads numpy and the embedder's table."""
    from subsecond.semantic.index.reader import Reader, ReaderLimits
    from subsecond.semantic.verification.sampling import Sampling
    from subsecond.semantic.verification.verified import Bounds
    from subsecond.stages.semantic import SemanticCache

    embedder, policy = adapter("embedder", settings), adapter("semantic", settings)
    objects = checks.objects if checks else adapter("objects", settings)
    reader = Reader(objects, embedder.id, embedder.dim, ReaderLimits(memory=settings.index_memory))
    bound, kind = settings.max_error, settings.semantic
    checked = settings.check_texts == "on" and kind in CHECKED
    trial = settings.cuts_on_trial
    return SemanticCache(
        embedder,
        reader,
        policy,
        settings.semantic_timeout,
        rules,
        tools=settings.semantic_tools == "text",
        bounds=Bounds(bound, policy.cut, embedder.dim, embedder.id, checks, trial=trial)
        if kind == "verified"
        else None,
        sampling=Sampling(settings.check_share, bound, policy.cut) if checked else None,
        shadow=kind == "shadow",
    )


def checker(gateway: Gateway) -> Checker | None:
    """What checks the hits that wait for it; None where no judge is named."""
    settings, checks = gateway.settings, gateway.checks
    if not settings.judge or checks is None:
        return None
    from subsecond.semantic.verification.budget import Budget
    from subsecond.semantic.verification.checker import Checker
    from subsecond.semantic.verification.checks import Checks
    from subsecond.semantic.verification.judge import Judge
    from subsecond.semantic.verification.queue import Queue

    assert isinstance(checks, Checks)
    queue = Queue(partial(getattr, checks, "objects"))
    budget = Budget(queue, settings.check_calls, settings.check_tokens)
    return Checker(queue, Judge(settings.judge, partial(_judged, gateway)), budget)


async def _judged(gateway: Gateway, call: Call) -> Recording:
    """The judge's answer: by the gateway's own way to its models, past its cache and its figures."""
    trace = Trace(partition=JUDGE.partition, model=call.model)
    request = Request(JUDGE, call, Prompt("", "", ""), trace)
    routed = gateway.models.routed
    chosen = routed.choose(request, call) if routed else None
    events = gateway.models.ask_chosen(chosen, gateway.optimising) if chosen else gateway.models.ask(request, call)
    async with aclosing(events) as told:
        async for event in told:
            if isinstance(event, Done):
                return event.recording
    raise Unavailable("The judge's answer has no end.")
