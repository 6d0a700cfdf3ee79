"""Why a dry run would be answered as it would: reasons in words, the true cause first.

`cache_operations.explain_call` asks. It reads and embeds what a request never would, because somebody waits for an
explanation and not for an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from subsecond.api.parting import Parted
from subsecond.cache.cacheability import may_read, may_serve_others
from subsecond.cache.forms import converted
from subsecond.model import Entry, Request
from subsecond.pipeline import Gateway
from subsecond.stages.exact import young_enough

if TYPE_CHECKING:
    # numpy, which an environment without the semantic stage never loads
    from subsecond.semantic.index.partition_index import Neighbour
    from subsecond.semantic.index.vectors import Vector
    from subsecond.stages.semantic import SemanticCache

# Answers of one scope that serve nobody else: so many are compared, the newest. Embedding them may cost money.
WITHHELD = 10
# Characters of a differing part that are shown.
SHOWN = 80
NOT_STORED = "the same request is not stored"


async def misses(
    gateway: Gateway,
    request: Request,
    semantic: SemanticCache | None,
    vector: Vector | None,
    near: Sequence[Neighbour],
    apart: Parted | None,
) -> list[str]:
    """Why nothing that is stored answers the request. Raises what the store and the embedder raise."""
    if not may_read(request.call):
        return ["the request forbids to read the cache, or names or makes an object that the provider keeps (`store`)"]
    if unfit := await _same_request(gateway, request):
        return [unfit, _why_not_similar(request, semantic, vector, near)]
    if apart:
        return [apart.reason, _why_not_similar(request, semantic, vector, near)]
    if semantic and vector is not None and (entry := await _withheld(gateway, request, semantic, vector)):
        return [_why_withheld(entry), NOT_STORED]
    return [_why_not_similar(request, semantic, vector, near), NOT_STORED]


async def _same_request(gateway: Gateway, request: Request) -> str | None:
    """Why the answer that is stored for the very request does not serve it; None where there is none."""
    entry = await gateway.exact.fresh(request.tenant.partition, request.prompt.key, request.call.form)
    if entry is None:
        return None
    if gateway.rules.cover(entry):
        return "the same request is stored, and was invalidated"
    if not young_enough(entry.created, request.call):
        return "the same request is stored, and older than this one wants it (max-age)"
    if entry.recording.form != request.call.form and converted(request.call.endpoint, entry.recording) is None:
        return f"the same request is stored in the form `{entry.recording.form}`, which does not turn into the other"
    return None


async def _withheld(gateway: Gateway, request: Request, semantic: SemanticCache, vector: Vector) -> Entry | None:
    """An entry that would answer, were its answer fit for others. The index has none of these: they are looked for in
    what this environment remembers."""
    prompt = request.prompt
    held = [
        one
        for one in gateway.exact.in_memory(request.tenant.partition)
        if one.prompt.scope == prompt.scope and one.prompt.text and not may_serve_others(one.recording)
    ]
    newest = sorted(held, key=lambda one: one.created)[-WITHHELD:]
    if not newest:
        return None
    others = await semantic.embedder.embed([one.prompt.text for one in newest])
    for entry, other in zip(newest, others, strict=True):
        similarity = float(vector @ other)
        if similarity >= _least(semantic, request) and not gateway.rules.cover(entry):
            _, verdict = semantic.judge(prompt.text, entry, similarity)
            if verdict.decision == "hit":
                return entry
    return None


def _why_withheld(entry: Entry) -> str:
    if entry.recording.acts:
        return "a similar question is stored, and its answer calls a tool: it serves the same request alone"
    return (
        f"a similar question is stored, and its answer was cut (finish reason `{entry.recording.finish}`): it serves "
        "the same request alone. A larger `max_tokens` lets it finish"
    )


def _why_not_similar(
    request: Request, semantic: SemanticCache | None, vector: Vector | None, near: Sequence[Neighbour]
) -> str:
    if semantic is None:
        return "the semantic cache is off"
    if not semantic.takes(request.call, request.prompt):
        return (
            "nothing similar will do: `similar` is off, its answer is no text for a reader (tools, unless "
            "SUBSECOND_SEMANTIC_TOOLS=text lets them be attached), n > 1, or there is no user text, or too long a one"
        )
    if vector is None:
        return "its text could not be embedded, or is too long to be"
    if verdicts := request.trace.verdicts:
        return f"the nearest candidate was refused: {'; '.join(map(str, _listed(verdicts[0]['reasons'])))}"
    return _why_not_near(request, semantic, near)


def _why_not_near(request: Request, semantic: SemanticCache, near: Sequence[Neighbour]) -> str:
    if not near:
        return "nothing in its scope (model, system text, earlier turns, parameters) may serve a similar question"
    least = _least(semantic, request)
    if near[0].similarity < least:
        return f"nothing in its scope is similar enough: {near[0].similarity:.3f}, and {least:.3f} is wanted"
    return "what is similar in its scope has expired, is older than this request wants it, or is in another form"


def _least(semantic: SemanticCache, request: Request) -> float:
    return max(semantic.policy.floor, request.call.rules.similarity)


async def described(
    near: Sequence[Neighbour], asked: str, read: Callable[[str], Awaitable[Entry | None]]
) -> list[dict[str, Any]]:
    """The nearest entries with their questions, and where these part from the text that was asked. The reader may see
    them: they lie in the namespace of the reader's key."""
    found = []
    for one in near:
        entry = await read(one.key)
        found.append(
            {
                "entry": one.key,
                "similarity": round(one.similarity, 4),
                "question": entry and entry.prompt.text,
                "differs": entry and differs(entry.prompt.text, asked),
            }
        )
    return found


def differs(stored: str, asked: str) -> Mapping[str, str]:
    """What is left of both texts without their common beginning and end, in whole words; "" where one has nothing
    there."""
    a, b = stored.split(" "), asked.split(" ")
    start = _common(a, b)
    end = _common(a[start:][::-1], b[start:][::-1])
    return {"stored": _part(a, start, end), "asked": _part(b, start, end)}


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words are the same from the first one on."""
    return next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


def _part(words: Sequence[str], start: int, end: int) -> str:
    text = " ".join(words[start : len(words) - end])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _listed(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
