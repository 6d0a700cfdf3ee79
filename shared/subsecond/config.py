"""The only place that reads the environment, and never at import."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from dataclasses import field as declared
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any, get_type_hints

log = logging.getLogger("subsecond")

PREFIX = "SUBSECOND_"
# How alike a name must be, prefix included, to be taken for a slip: "SUBSECOND_TTLL" is .96 of "SUBSECOND_TTL".
ALIKE = 0.93
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
    "optimise": ("off", "lossless", "dedupe", "fit", "select"),
    "cache_markers": ("off", "openai", "anthropic", "bedrock"),
    "prefer": ("latency", "price"),
    "difficulty": ("off", "default", "file:PATH"),
    # Of which kind the upstream is (`upstreams/kind.py`); whose answers a question may have; what is masked.
    "upstream_kind": ("", "openai", "azure", "bedrock", "simulator", "unknown"),
    "scope": ("namespace", "user", "key"),
    "volatile": ("off", "clock"),
}
# Those that an API key may have of its own (`keys create --scope`).
OF_A_KEY = ("scope", "volatile")
# The least and the greatest value, where these are not 0 and no limit. A share is at most 1; no places for calls, no
# threads or no pause between two looks would hang every request, or spin.
BOUNDS = {
    **dict.fromkeys(("similarity", "quality", "hedge_share", "hedge_after", "max_error", "check_share"), (0.0, 1.0)),
    **dict.fromkeys(("upstream_connections", "model_calls", "tenant_calls", "batch_concurrency"), (1.0, inf)),
    **dict.fromkeys(("store_threads", "embedder_threads", "max_batch", "warm_environments"), (1.0, inf)),
    "bedrock_max_tokens": (1.0, inf),
    **dict.fromkeys(("poll_gap", "longest_poll_gap", "lease_seconds"), (0.001, inf)),
}
# The settings that are `PATTERN=VALUE` with commas between: what their values must be. Path: a file that is there.
BY_MODEL: dict[str, tuple[str, ...] | type[int | str | Path]] = {
    "optimise_models": CHOICES["optimise"],
    "context_windows": int,
    "tokenizer_files": Path,
    "bedrock_profiles": str,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its default. The variable is the field's name in capitals behind `SUBSECOND_`.

    Times in seconds, sizes in bytes. Its `repr` shows no key, and nothing that may hold one: an address with a
    password in it, a catalogue with its servers' keys.
    """

    # The server of models: a file of `upstreams/`, or the dotted name of a module with `build(settings)`.
    upstream: str = "openai"

    # The stores, all at once: `memory`, or `aws` (STORES below). One of them alone can be given another engine, by the
    # name of its folder in `stores/`; empty: as `stores` says.
    stores: str = "memory"
    keys: str = ""
    exact: str = ""
    ledger: str = ""
    invalidations: str = ""
    hits: str = ""
    healths: str = ""
    objects: str = ""
    # `off`: identical requests do not wait for each other.
    flights: str = ""

    # The upstream.
    upstream_url: str = declared(default="", repr=False)
    # The key itself, or where it lies: `secretsmanager:NAME`, `ssm:NAME`, with `#FIELD` for a field of a JSON secret.
    upstream_key: str = declared(default="", repr=False)
    upstream_secret: str = ""
    # Whose reference says what a field does: `openai`, `azure`, `bedrock`, `simulator`, `unknown`. Empty: told by the
    # adapter and the address.
    upstream_kind: str = ""
    secret_max_age: float = 300.0
    default_model: str = ""
    upstream_connections: int = 256
    connect_timeout: float = 5.0
    # The ten minutes that OpenAI's own client waits, for the first token (or a whole reply), and between two signs of
    # life: a model that thinks may say its role at once, and nothing more until it has thought.
    first_token_timeout: float = 600.0
    idle_timeout: float = 600.0
    total_timeout: float = 600.0
    upstream_retries: int = 2
    # Calls at once of one model, and of one tenant; how many more may wait, and how long. Past that: 429.
    model_calls: int = 256
    tenant_calls: int = 128
    waiting_calls: int = 64
    waiting_time: float = 1.0
    # Without a catalogue: whether the upstream's `/completions` takes a list of prompts.
    list_prompts: bool = False

    # What may share an answer (docs/cache-control.md): the fields that count for no key beside the table's, and those
    # that count after all (`trace_id,-user`); `namespace`, or a wall for each end `user` or API `key`; what of system
    # texts is masked (`off`, `clock`). An API key may have a scope and a `volatile` of its own.
    key_ignores: str = ""
    scope: str = "namespace"
    volatile: str = "off"

    # Bedrock, by the role's credentials. The region: empty for `AWS_DEFAULT_REGION`. The models that `GET /v1/models`
    # lists, without a catalogue. Patterns of those that its OpenAI-compatible endpoint serves; `PROFILE=MODEL` with
    # commas between: the model behind a profile whose id or ARN does not say it. The tokens of an answer where the
    # request has no limit; a guardrail for all calls, as `ID:VERSION`.
    bedrock_region: str = ""
    bedrock_models: str = ""
    bedrock_openai: str = "openai.*,qwen.*,deepseek.v3*,google.gemma*,minimax.*,moonshot*,nvidia.*,zai.*"
    bedrock_profiles: str = ""
    bedrock_max_tokens: int = 4096
    bedrock_guardrail: str = ""

    # The stores.
    answers_table: str = "subsecond-answers"
    state_table: str = "subsecond-state"
    bucket: str = "subsecond-index"
    store_threads: int = 8
    store_timeout: float = 1.0
    ttl: float = 86_400.0
    # Other lives for some answers, by model or tag; the shortest counts: `model:gpt-4o*=3600,tag:news=60`.
    ttl_rules: str = ""
    # The life of an answer to a question of the day ("today", prices, the weather).
    timebound_ttl: float = 60.0
    memory_bytes: int = 64 * 1024 * 1024
    # Of embeddings, which are kept in memory alone; 0: none are.
    embeddings_bytes: int = 32 * 1024 * 1024

    # The semantic cache: `off`, or the policy that says when a neighbour may answer: `guarded`, or `threshold`, which
    # answers wrong questions too ("not", another number); `similarity` is the cosine that it wants.
    semantic: str = "guarded"
    similarity: float = 0.9
    # How sure the policy `guarded` must be: strict, balanced or bold (docs/guards.md has what each one gets wrong).
    caution: str = "strict"
    # `text`: requests with tools attached take part too, among those with the same tools, and are served text answers
    # alone. Forced tools never take part.
    semantic_tools: str = "off"
    # With `verified`: the share of semantic hits that may be wrong, and the share of them that a judge checks later.
    max_error: float = 0.05
    check_share: float = 0.8
    embedder: str = "static"
    # Seconds for the search and for what it waits for; past it the stage is a counted miss.
    semantic_timeout: float = 0.025
    # Seconds for loading the stage itself, once in an environment.
    loading_timeout: float = 5.0
    # What counts of the index, for each namespace: past it the entries go that were longest not hit. And what all of it
    # may take in an environment's memory: at least 4/3 of the former, as a quarter of an index may be garbage.
    index_bytes: int = 128 * 1024 * 1024
    index_memory: int = 256 * 1024 * 1024
    embedder_model: str = ""
    embedder_dim: int = 0
    embedder_url: str = declared(default="", repr=False)
    embedder_key: str = declared(default="", repr=False)
    embedder_threads: int = 1

    # Identical requests at once share one upstream call (where: `flights` above): how long a lease outlives its owner;
    # the box of each call to the leases; the first and the longest gap between two looks of those who wait in other
    # environments; whether a call that nobody waits for any more is read to its end.
    lease_seconds: float = 5.0
    lease_timeout: float = 0.25
    poll_gap: float = 0.025
    longest_poll_gap: float = 0.5
    drain: bool = False

    # The prompt optimiser: `off`, `lossless`, `dedupe`, `fit` or `select`; `PATTERN=LEVEL` with commas between for
    # models of their own. Off by default: well-kept prompts lose next to nothing to `lossless`, and a cold miss would
    # load the optimiser for it (27 ms).
    optimise: str = "off"
    optimise_models: str = ""
    # `PATTERN=TOKENS` with commas between: a model's context window, for `fit`. The reserve is for the answer where the
    # request has no limit of its own; the budget is what `select` leaves of a message's context, 0 for all of it.
    context_windows: str = ""
    output_reserve: int = 1024
    context_budget: int = 0
    # Marks for the provider's prefix cache: `off`, `openai`, `anthropic`, `bedrock`.
    cache_markers: str = "off"
    # `PATTERN=FILE` with commas between: tokenizers that lie beside the code (`.tiktoken`, `tokenizer.json`).
    tokenizer_files: str = ""

    # The models, as JSON, or where that lies: `file:PATH`, `ssm:NAME`, `secretsmanager:NAME`. Without it every name
    # goes to the one upstream, and nothing is routed. Of the questions asked of an alias, the share for the best tier;
    # what counts inside a tier (`latency` or `price`); the scorer of difficulty (`off`, `default`, `file:PATH`); the
    # tokens that an answer is taken to have.
    catalogue: str = declared(default="", repr=False)
    # Where the statistics find prices, if they do not route: as `catalogue`.
    prices: str = declared(default="", repr=False)
    quality: float = 0.5
    prefer: str = "latency"
    difficulty: str = "default"
    expected_answer: int = 256

    # Routing, with a catalogue only: how long a first token may take while another model is left to be tried; a whole
    # reply has beside that the time for all tokens that it may have.
    fallback_after: float = 15.0
    # A second call to an equivalent deployment once this share of first tokens would have come: at most for
    # `hedge_share` of all requests (0: never), `hedge_allowance` at first. With tools only where allowed.
    hedge_share: float = 0.03
    hedge_after: float = 0.97
    hedge_allowance: float = 10.0
    hedge_tools: bool = False
    # A fast model first, and a strong one behind it: seconds until the strong one starts (0: together), and for how
    # long its first token waits for the fast one's end. Off. speculation_judge: a model of the catalogue that is asked
    # whether the fast answer will do.
    speculate: bool = False
    speculation_stagger: float = 0.25
    speculation_grace: float = 0.5
    speculation_judge: str = ""

    # Keys: how long a looked-up key is believed, which bounds how late a revocation takes effect.
    key_ttl: float = 30.0
    # One key known from the start, for STORES=memory and tests; tables hold the others.
    api_key: str = declared(default="", repr=False)

    # The face.
    max_body: int = 6 * 1024 * 1024
    max_batch: int = 64
    batch_concurrency: int = 8

    # Prewarming. The functions to warm, by name or ARN with commas between, the first of which answers prompts; how
    # many environments of each; seconds that one waits for the others at the most. The partitions (`tenant:namespace`)
    # that have a list of prompts in the bucket (`prewarm/<partition>.jsonl`); what a run may spend on each.
    warm_functions: str = ""
    warm_environments: int = 1
    warm_wait: float = 10.0
    warm_prompts: str = ""
    warm_calls: int = 100
    warm_tokens: int = 100_000

    # Statistics.
    flush_interval: float = 5.0
    # The base URL's origin for the page of a function that has no answers itself (empty: the page's own).
    public_url: str = ""

    # The simulator adapter.
    simulator_seed: int = 0

    def __post_init__(self) -> None:
        check_choice("stores", self.stores)
        for port, engine in STORES[self.stores].items():
            if not getattr(self, port):
                object.__setattr__(self, port, engine)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from `environ` (default: the process's). ValueError names the variable that does not fit."""
        source = os.environ if environ is None else environ
        types = get_type_hints(cls)
        found: dict[str, Any] = {}
        _warn_of_slips(source, {PREFIX + field.name.upper() for field in fields(cls)})
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if name in source:
                found[field.name] = _read(field.name, source[name], types[field.name])
        return cls(**found)


def environment() -> Mapping[str, str]:
    """The variables that are not ours: AWS's, as `aws/access.py` reads them."""
    return os.environ


def started_ahead() -> bool:
    """Whether Lambda starts this environment before there is a request: for a snapshot, or provisioned."""
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") in ("snap-start", "provisioned-concurrency")


def _warn_of_slips(source: Mapping[str, str], known: set[str]) -> None:
    """A setting whose name is misspelt would have no effect, and nobody would know. Other programs' names may begin as
    ours do, so they are no errors."""
    for name in sorted(name for name in source if name.startswith(PREFIX) and name not in known):
        from difflib import get_close_matches  # noqa: PLC0415 -- 4 ms that nobody needs whose names are right

        if meant := get_close_matches(name, known, n=1, cutoff=ALIKE):
            log.warning("%s is no setting. Is %s meant?", name, meant[0])


def check_choice(field: str, text: str) -> None:
    """ValueError lists the choices of the setting `field` where `text` is none of them.

    `from_env` asks for every setting with choices, so that a wrong one ends the start: found out later it would fail
    each request, or switch off a part of the gateway without a word. `bootstrap` asks for settings made by hand.
    """
    choices = _adapters(field) if field in ADAPTERS else CHOICES.get(field)
    if choices and not any(_is(choice, text) for choice in choices) and not _is_module(field, text):
        raise _no_choice(field, text, choices)


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


def _read(field: str, text: str, kind: type) -> Any:
    name = PREFIX + field.upper()
    if kind is str:
        check_choice(field, text)
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
