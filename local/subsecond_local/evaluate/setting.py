"""What is evaluated: a policy, an embedder and a least similarity, built from the gateway's own settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from subsecond.bootstrap import adapter
from subsecond.cache.cacheability import may_compare
from subsecond.cache.key import KeyTerms, prepare
from subsecond.config import Settings
from subsecond.errors import SubsecondError
from subsecond.model import CacheRules, Call, Prompt, Recording, Request, Tenant
from subsecond.ports import Embedder, Policy
from subsecond.stages.store import entry_of
from subsecond.stats.trace import Trace
from subsecond_local.errors import LocalError
from subsecond_local.evaluate.progress import Bars, silent

if TYPE_CHECKING:
    from subsecond.semantic.index.vectors import Vector

TENANT = Tenant("local", "evaluate", "evaluate")
MODEL = "any"
ANSWER = Recording(
    "whole",
    (b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Yes."},"finish_reason":"stop"}]}',),
    "stop",
    MODEL,
    text="Yes.",
)
# The policy where the gateway's own semantic cache is off.
DEFAULT_POLICY = "guarded"
# Texts embedded at once.
BATCH = 64


@dataclass(frozen=True, slots=True)
class Setting:
    """name: the policy's. least: the similarity below which nothing is answered: the policy's floor, or a stricter one
    that was asked for."""

    settings: Settings
    name: str
    policy: Policy
    embedder: Embedder
    least: float

    def named(self) -> dict[str, Any]:
        """The setting as a report shows it beside its figures."""
        return {"policy": self.name, "threshold": round(self.least, 4), "embedder": self.embedder.id}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as the gateway sees it: the call, its prompt, and the terms by which its key was made."""

    call: Call
    prompt: Prompt
    terms: KeyTerms | None = None

    def request(self, trace: Trace) -> Request:
        """The request that the stages take."""
        return Request(TENANT, self.call, self.prompt, trace, self.terms)

    def is_kept(self, settings: Settings) -> bool:
        """Whether the answer to it is stored at all."""
        return entry_of(settings, self.request(Trace()), ANSWER) is not None

    def is_comparable(self, embedder: Embedder) -> bool:
        text = self.prompt.text
        return may_compare(self.call, text) and len(text) <= embedder.max_chars


def chosen(
    environ: Mapping[str, str], policy: str | None = None, threshold: float | None = None, embedder: str | None = None
) -> Setting:
    """The environment's settings, overridden by the arguments. LocalError for unknown names."""
    try:
        settings = Settings.from_env(environ)
        name = policy or (settings.semantic if settings.semantic != "off" else DEFAULT_POLICY)
        settings = replace(
            settings,
            semantic=name,
            embedder=embedder or settings.embedder,
            similarity=settings.similarity if threshold is None else threshold,
        )
        made: Policy = adapter("semantic", settings)
        least = made.floor if threshold is None else max(made.floor, threshold)
        return Setting(settings, name, made, adapter("embedder", settings), least)
    except (ValueError, SubsecondError) as error:
        raise LocalError(str(error)) from error


def embedder_of(environ: Mapping[str, str], name: str) -> Embedder:
    """The embedder of that name with the environment's settings. LocalError when there is none."""
    try:
        made: Embedder = adapter("embedder", replace(Settings.from_env(environ), embedder=name))
    except (ValueError, SubsecondError) as error:
        raise LocalError(str(error)) from error
    return made


def asked(messages: Sequence[Mapping[str, Any]], least: float = -1.0) -> Asked:
    """A chat call with these messages and nothing else. `least`: the similarity that it asks for at least."""
    call = Call("chat", MODEL, {"model": MODEL, "messages": list(messages)}, CacheRules(similarity=least))
    return Asked(call, prepare(call, TENANT))


def question(text: str, least: float = -1.0) -> Asked:
    return asked([{"role": "user", "content": text}], least)


async def embedded(embedder: Embedder, questions: Iterable[Asked], bars: Bars = silent) -> dict[str, Vector]:
    """The vector of each text that is compared at all, in batches. LocalError when the embedder fails."""
    texts = list(dict.fromkeys(one.prompt.text for one in questions if one.is_comparable(embedder)))
    found: dict[str, Vector] = {}
    try:
        with bars("embedding", len(texts)) as bar:
            for start in range(0, len(texts), BATCH):
                part = texts[start : start + BATCH]
                found.update(zip(part, await embedder.embed(part), strict=True))
                bar.advance(len(part))
    except SubsecondError as error:
        raise LocalError(f"The embedder cannot be used: {error}") from error
    return found


@asynccontextmanager
async def closing(embedder: Embedder) -> AsyncGenerator[Embedder]:
    """Closes the embedder's threads or connections at the end, if it has any."""
    try:
        yield embedder
    finally:
        if aclose := getattr(embedder, "aclose", None):
            await aclose()
