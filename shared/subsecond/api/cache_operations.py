"""What users can do about the cache: have it explained, report a false hit, invalidate.

Each acts within the tenant's own partition, and fails loudly: whoever invalidates wants to know that it was done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from subsecond.api.clock_report import clock_reason, clock_report
from subsecond.api.explanations import described, differs, misses
from subsecond.api.parting import parted
from subsecond.cache.cacheability import lifetime
from subsecond.cache.false_hits import MOST, digest
from subsecond.cache.invalidation import EVERY, places
from subsecond.cache.key import prepare as keyed
from subsecond.errors import InvalidRequest, NotFound, Unavailable
from subsecond.model import Call, Entry, Hit, Request, Rule, RuleKind, Tenant
from subsecond.pipeline import Gateway
from subsecond.stages.embed import vector_of
from subsecond.stages.exact import look_up
from subsecond.stages.prepare import prepare
from subsecond.stats.summary import HOURS
from subsecond.stats.trace import Trace

if TYPE_CHECKING:
    # numpy, which an environment without the semantic stage never loads
    from subsecond.stages.semantic import SemanticCache

T = TypeVar("T")

# Rules of one partition for entries, and as many for what is wider: neither kind can shut the other out. 4 KB hold
# about 30, and they are read once a second while the partition is asked.
MOST_RULES = 1_000
# A hit is noted after its answer's last byte. Seconds between the looks for who asks at once.
NOTED = (0.1, 0.4)


async def sure(work: Awaitable[T]) -> T:
    """The work's result. Raises Unavailable."""
    try:
        return await work
    except Exception as error:
        raise Unavailable("The stores cannot be reached. Nothing is certain to be done: try again shortly.") from error


async def entry_named(gateway: Gateway, tenant: Tenant, key: str) -> Entry:
    """As the table has it now. Raises NotFound, Unavailable."""
    entry = await sure(gateway.exact.fresh(tenant.partition, key, "whole"))
    if entry is None:
        raise NotFound("No such entry lives in this namespace: it has expired, or never was.", code="entry_not_found")
    return entry


async def hit_named(gateway: Gateway, tenant: Tenant, request_id: str) -> Hit:
    """Raises NotFound, Unavailable."""
    hit = await sure(gateway.hits.find(tenant.partition, request_id))
    for gap in NOTED:
        if hit is not None:
            return hit
        await asyncio.sleep(gap)
        hit = await sure(gateway.hits.find(tenant.partition, request_id))
    if hit is None:
        raise NotFound(
            "No semantic hit of this namespace has this request id: it is over a day ago, or was answered otherwise "
            "(Cache-Status says how).",
            code="hit_not_found",
        )
    return hit


async def explain_entry(
    gateway: Gateway, tenant: Tenant, key: str, asked: str | None = None, scope: str | None = None
) -> dict[str, Any]:
    """The entry, and what the policy says of it for the text `asked`, in its `scope` where that is known."""
    entry = await entry_named(gateway, tenant, key)
    await sure(gateway.rules.refresh(tenant.partition))
    found = _shape(gateway, entry)
    return found if asked is None else {**found, "verdict": await _verdict(gateway, entry, asked, scope)}


async def explain_hit(gateway: Gateway, tenant: Tenant, request_id: str) -> dict[str, Any]:
    """The verdicts of that request, as they were, and the entry that answered it, as it is now."""
    hit = await hit_named(gateway, tenant, request_id)
    entry = await sure(gateway.exact.fresh(tenant.partition, hit.entry, "whole"))
    await sure(gateway.rules.refresh(tenant.partition))
    return {
        "request_id": request_id,
        "source": "semantic",
        "at": hit.at,
        "judged": list(hit.verdicts),
        "entry": _shape(gateway, entry) if entry else None,
        "reported": bool(entry and hit.asked in entry.false_hits),
    }


async def explain_call(gateway: Gateway, tenant: Tenant, call: Call) -> dict[str, Any]:
    """What would answer this request, and why; nothing is asked of the model, and nothing stored."""
    trace = Trace(partition=tenant.partition, model=call.model)
    request, semantic = prepare(gateway.models, gateway.keying, tenant, call, trace), await _semantic(gateway)
    prompt = request.prompt
    if semantic:
        semantic.begin(tenant)
    entry = await look_up(gateway.exact, gateway.rules, gateway.settings, request)
    source, vector = "exact", None
    if entry is None and semantic:
        source, vector = "semantic", await vector_of(semantic, request)
        entry = await semantic.find(gateway.exact, request, vector)
    near = [] if semantic is None or vector is None else await semantic.nearest(tenant.partition, prompt.scope, vector)
    apart = None if entry else await sure(parted(gateway, request, semantic, vector))
    clocks = await sure(clock_report(gateway, request))
    if entry:
        why = _why_hit(request, entry)
    else:
        why = clock_reason(clocks) + await sure(misses(gateway, request, semantic, vector, near, apart))
    read = partial(gateway.exact.fresh, tenant.partition, form=call.form)
    return {
        "source": source if entry else "upstream",
        "reasons": why,
        "key": prompt.key,
        "scope": prompt.scope,
        "entry": _shape(gateway, entry) if entry else None,
        "parted": apart and apart.public(),
        "clocks": clocks,
        "judged": trace.verdicts,
        "nearest": await sure(described(near, prompt.text, read)),
        "stored_for": lifetime(gateway.settings, call, prompt) if call.rules.write and not entry else 0,
        "counts": dict(trace.counts),
    }


def digest_of(tenant: Tenant, messages: list[dict[str, Any]]) -> str:
    """Of the last user turn's text. Raises InvalidRequest."""
    text = keyed(Call("chat", "", {"messages": messages}), tenant).text
    if not text:
        raise InvalidRequest("'messages' must end in a user turn with a text.", param="messages", code="invalid_value")
    return digest(tenant.partition, text)


async def report(
    gateway: Gateway, tenant: Tenant, key: str, asked: str, trace: Trace, *, wrong: bool
) -> dict[str, Any]:
    """Whether the entry's answer to the text with the digest `asked` was wrong, or right after all."""
    entry = await entry_named(gateway, tenant, key)
    if wrong and asked == digest(tenant.partition, entry.prompt.text):
        raise InvalidRequest(
            "That is the entry's own question. If its answer is bad, invalidate the entry.", code="own_question"
        )
    false_hits = entry.false_hits | {asked} if wrong else entry.false_hits - {asked}
    changed = false_hits != entry.false_hits
    # A full one answers nobody else any more, so there is nothing to add.
    if changed and not (wrong and len(entry.false_hits) >= MOST):
        await sure(gateway.exact.report(tenant.partition, key, asked, wrong=wrong))
    if changed:
        trace.counts["false_hits_reported"] += 1 if wrong else -1
    if not wrong:
        trace.counts["hits_confirmed"] += 1
    return {
        "entry": key,
        "verdict": "wrong" if wrong else "right",
        "changed": changed,
        "negatives": min(len(false_hits), MOST),
    }


async def invalidate(
    gateway: Gateway, tenant: Tenant, kind: RuleKind, value: str, before: float | None, *, dry_run: bool
) -> dict[str, Any]:
    """What was asked for until `before` (epoch seconds; None: now) is served no more. A namespace always can be; an
    entry's item is deleted even where there is no room for its rule. Raises InvalidRequest, Unavailable."""
    partition, now = tenant.partition, time.time()
    if before is not None and before > now:
        raise InvalidRequest("'before' lies in the future.", param="before", code="invalid_value")
    date = now if before is None else before
    entry = await sure(gateway.exact.fresh(partition, value, "whole")) if kind == "entry" else None
    found = {
        "by": kind,
        "value": value,
        "before": date,
        "dry_run": dry_run,
        **await _matches(gateway, partition, kind, value, date, entry),
    }
    if dry_run:
        return found
    # Not with the entry's own end: an answer that is under way, and dated before the rule, lives longer.
    added = await _add(gateway, partition, Rule(kind, value, date, date + gateway.rules.life))
    deleted = kind == "entry" and await sure(gateway.exact.drop(partition, value, date))
    if added:
        return {**found, "deleted": deleted, "everywhere_within_s": EVERY}
    if not deleted:
        what = "for entries" if kind == "entry" else "for scopes, tags and models"
        raise InvalidRequest(
            f"{MOST_RULES:,} rules {what} are in force already. Invalidate the namespace: its rule replaces them all.",
            code="too_many_rules",
        )
    # Gone from the table and from here; another environment's memory may have it until its end.
    ends = entry.expires if entry else now + gateway.rules.life
    return {**found, "deleted": True, "everywhere_within_s": max(EVERY, round(ends - now, 3))}


async def _add(gateway: Gateway, partition: str, rule: Rule) -> bool:
    """Whether the rule is in force: False when there is no room for it."""
    rules = gateway.rules
    await sure(rules.refresh(partition))
    known = rules.in_force(partition)
    whole = known.get(("namespace", ""))
    if whole and whole.subsumes(rule):
        return True
    alike = sum((one.kind == "entry") == (rule.kind == "entry") for one in known.values())
    if rule.kind != "namespace" and alike >= MOST_RULES and (rule.kind, rule.value) not in known:
        return False
    await sure(rules.add(partition, rule))
    return True


async def _matches(
    gateway: Gateway, partition: str, kind: RuleKind, value: str, before: float, entry: Entry | None
) -> dict[str, Any]:
    """How many entries it covers, and how well that is known: nothing scans the table for it."""
    if kind == "entry":
        return {"matches": int(entry is not None and entry.created <= before), "accuracy": "exact"}
    if kind == "scope" and (semantic := await _semantic(gateway)):
        await sure(semantic.reader.refresh(partition))
        return {"matches": semantic.held(partition, value, before), "accuracy": "at_least"}
    if kind == "namespace":
        await sure(gateway.ledger.flush(force=True))
        summary = await sure(gateway.ledger.summary(partition, HOURS))
        return {"matches": summary["exact_cache_size"], "accuracy": "estimate"}
    await sure(gateway.rules.refresh(partition))
    found = [
        one
        for one in gateway.exact.in_memory(partition)
        if one.created <= before and (kind, value) in places(one) and not gateway.rules.cover(one)
    ]
    return {"matches": len(found), "accuracy": "at_least"}


async def _semantic(gateway: Gateway) -> SemanticCache | None:
    return await sure(gateway.semantic.get()) if gateway.semantic else None


def _shape(gateway: Gateway, entry: Entry) -> dict[str, Any]:
    now = time.time()
    return {
        "entry": entry.prompt.key,
        "scope": entry.prompt.scope,
        "question": entry.prompt.text,
        "model": entry.recording.model,
        "asked_model": entry.model,
        "finish": entry.recording.finish,
        "form": entry.recording.form,
        "bytes": sum(map(len, entry.recording.payloads)),
        "created": entry.created,
        "age": round(max(0.0, now - entry.created), 3),
        "expires_in": round(entry.expires - now, 3),
        "tags": list(entry.tags),
        "negatives": len(entry.false_hits),
        "embedder": entry.embedder or None,
        "invalidated": gateway.rules.cover(entry),
    }


async def _verdict(gateway: Gateway, entry: Entry, asked: str, scope: str | None) -> dict[str, Any]:
    semantic = await _semantic(gateway)
    if semantic is None:
        return {"says": "miss", "reasons": ["the semantic cache is off"]}
    found = {**await sure(semantic.against(entry, asked)), "differs": differs(entry.prompt.text, asked)}
    if scope is None:
        return found
    return {**found, "same_scope": scope == entry.prompt.scope}


def _why_hit(request: Request, entry: Entry) -> list[str]:
    if entry.prompt.key == request.prompt.key:
        return ["the same request is stored"]
    reasons = request.trace.verdicts[-1]["reasons"]
    assert isinstance(reasons, list)
    return reasons
