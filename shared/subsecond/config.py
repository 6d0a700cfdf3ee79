"""The only place that reads the environment, and never at import."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from dataclasses import field as declared
from functools import cache
from typing import Any, get_type_hints

from subsecond.setting_values import PREFIX, SETTINGS, STORES, check_choice, read, stated

log = logging.getLogger("subsecond")

# How alike a name must be, prefix included, to be taken for a slip: "SUBSECOND_TTLL" is .96 of "SUBSECOND_TTL".
ALIKE = 0.93


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, with its default. The variable is the field's name in capitals behind `SUBSECOND_`.

    Times in seconds, sizes in bytes. Its `repr` shows no key, and nothing that may hold one: an address with a
    password in it, a catalogue with its servers' keys.
    """

    # The server of models: a file of `upstreams/`, or the dotted name of a module with `build(settings)`.
    upstream: str = "openai"

    # The stores, all at once: `memory`, or `aws` (`setting_values.STORES`). One of them alone can be given another
    # engine, by the name of its folder in `stores/`; empty: as `stores` says.
    stores: str = "memory"
    keys: str = ""
    exact: str = ""
    ledger: str = ""
    invalidations: str = ""
    hits: str = ""
    owners: str = ""
    healths: str = ""
    objects: str = ""
    # `off`: identical requests do not wait for each other.
    flights: str = ""

    # The upstream's address, up to and including `/v1`.
    upstream_url: str = declared(default="", repr=False)
    # The key itself, or where it lies: `secretsmanager:NAME`, `ssm:NAME`, with `#FIELD` for a field of a JSON secret.
    upstream_key: str = declared(default="", repr=False)
    upstream_secret: str = ""
    # Whose reference says what a field does: `openai`, `azure`, `bedrock`, `anthropic`, `simulator`, `unknown`. Empty:
    # told by the adapter and the address.
    upstream_kind: str = ""
    # What it speaks, with commas between: `chat`, `text`, `embeddings`, `responses`, `messages`. Empty: as of its kind.
    upstream_dialects: str = ""
    # How long a key that was read from its store is believed; the model for `/v1/completions` where none is named;
    # connections to the upstream at the most, and how long one may take to open.
    secret_max_age: float = 300.0
    default_model: str = ""
    upstream_connections: int = 256
    connect_timeout: float = 5.0
    # The ten minutes that OpenAI's own client waits, for the first token (or a whole reply), and between two signs of
    # life: a model that thinks may say its role at once, and nothing more until it has thought.
    first_token_timeout: float = 600.0
    idle_timeout: float = 600.0
    # For an answer as a whole; and how often a call that got no answer, or a passing refusal, is sent again.
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
    # Of Responses: `keep` passes a request whose answer the upstream keeps (`store` is not false); with `ignore` such
    # objects are not needed, and it may be answered from the cache.
    responses_state: str = "keep"

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

    # The tables and the bucket; threads that call AWS, and the box of each call; how long an answer is kept.
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
    # What answers may take in an environment's own memory, before the table.
    memory_bytes: int = 64 * 1024 * 1024
    # Of embeddings, which are kept in memory alone; 0: none are.
    embeddings_bytes: int = 32 * 1024 * 1024

    # The semantic cache: `off`, or the policy that says when a neighbour may answer: `guarded`, `verified` (the same
    # behind a bound), `shadow` (the same, but nothing is served), or `threshold`, which answers wrong questions too
    # ("not", another number); `similarity` is the cosine that it wants.
    semantic: str = "guarded"
    similarity: float = 0.9
    # How sure the policy `guarded` must be: strict, balanced or bold (docs/guards.md has what each one gets wrong).
    caution: str = "strict"
    # `text`: requests with tools attached take part too, among those with the same tools, and are served text answers
    # alone. Forced tools never take part.
    semantic_tools: str = "off"
    # With `verified`: the share of semantic hits that may be wrong. With it and with `shadow` (docs/verified.md): the
    # model that checks hits later, empty for none; the share of them that it checks; whether the texts that it needs
    # may be kept until then, for three days at the most (`on`, `off`), without which there are no checks; what it may
    # spend in a day.
    max_error: float = 0.05
    judge: str = ""
    check_share: float = 0.8
    check_texts: str = "off"
    check_calls: int = 500
    check_tokens: int = 500_000
    # What turns a text into a vector (docs/embedders.md).
    embedder: str = "static"
    # Seconds for the search and for what it waits for; past it the stage is a counted miss.
    semantic_timeout: float = 0.025
    # Seconds for loading the stage itself, once in an environment.
    loading_timeout: float = 5.0
    # What counts of the index, for each namespace: past it the entries go that were longest not hit. And what all of it
    # may take in an environment's memory: at least 4/3 of the former, as a quarter of an index may be garbage.
    index_bytes: int = 128 * 1024 * 1024
    index_memory: int = 256 * 1024 * 1024
    # Of an embedder that is a server: its model, the length of its vectors where that is not known, its address (empty:
    # the upstream's) and key. Of one that runs here: its threads.
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
    # goes to the one upstream, and nothing is routed.
    catalogue: str = declared(default="", repr=False)
    # Where the statistics find prices, if they do not route: as `catalogue`.
    prices: str = declared(default="", repr=False)
    # What those prices are in, as the page says it (ISO 4217).
    currency: str = "USD"
    # Of the questions asked of an alias, the share for the best tier; what counts inside a tier; the scorer of
    # difficulty; the tokens that an answer is taken to have.
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

    # The web pages whose browsers may call a plain server: origins with commas between (`https://app.example.com`), or
    # `*` for all. Empty: none. On AWS the Function URLs answer browsers.
    cors_origins: str = ""

    # The largest body, once it is unpacked; prompts of a batch, and how many of them are asked at once.
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

    # Statistics: how often an environment merges its figures into the table.
    flush_interval: float = 5.0
    # The base URL's origin for the page of a function that has no answers itself (empty: the page's own).
    public_url: str = ""

    # The simulator adapter: what its answers are made from.
    simulator_seed: int = 0

    def __post_init__(self) -> None:
        check_choice("stores", self.stores)
        for port, engine in STORES[self.stores].items():
            if not getattr(self, port):
                object.__setattr__(self, port, engine)

    @property
    def cuts_on_trial(self) -> bool:
        """Whether `verified` tries a cut before it serves: without checks no trial would end."""
        return self.check_texts == "on" and bool(self.judge and self.check_share and self.check_calls)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, fetch: Callable[[str], str] | None = None) -> Settings:
        """Settings from `environ` (default: the process's): each from its variable, and those in SUBSECOND_SETTINGS,
        which win. fetch: reads that from where it lies. ValueError names the variable that does not fit."""
        source = os.environ if environ is None else environ
        types = get_type_hints(cls)
        found: dict[str, Any] = {}
        _warn_of_slips(source, {PREFIX + field.name.upper() for field in fields(cls)})
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if name in source:
                found[field.name] = read(field.name, source[name], types[field.name])
        if text := source.get(SETTINGS, "").strip():
            elsewhere = fetch is not None and not text.startswith("{")
            found |= stated(fetch(text) if fetch and elsewhere else text, types, secret=elsewhere)
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
    for name in sorted(name for name in source if name.startswith(PREFIX) and name not in known | {SETTINGS}):
        from difflib import get_close_matches  # 4 ms that nobody needs whose names are right

        if meant := get_close_matches(name, known, n=1, cutoff=ALIKE):
            _warn(name, meant[0])


@cache
def _warn(name: str, meant: str) -> None:
    """Once in a process, which may read its settings more than once."""
    log.warning("%s is no setting. Is %s meant?", name, meant)
