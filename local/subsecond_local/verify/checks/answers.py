"""Whether answers are streamed, and come again from the cache, in this environment and in another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from subsecond_local.verify.outcome import Outcome, failed, not_run, passed
from subsecond_local.verify.ports import Arrival, Reply
from subsecond_local.verify.run import OK, Run, words

# Many tokens, and few that a model could think about.
COUNT = "Count from one to thirty in words, with commas between."
# The same in other words: `guarded` takes it for the same, and so does `threshold`.
ASKED = "What is the capital city of France?"
REWORDED = "Tell me the capital city of France."
# Seconds between two reads that are one arrival.
TOGETHER = 0.001
# Events of an answer from which it can be told, the arrivals that there must be, and how many for each event. What was
# held back and sent in one piece comes in a few reads, each with many events; what was not, in about one for each.
FEW, LEAST, SHARE = 8, 4, 0.2


def answer(run: Run) -> Outcome:
    """The model, through the gateway, streamed: what several checks look at."""
    if not run.model:
        return not_run("there is no model to ask: DefaultModel is empty and /v1/models lists none; name one by --model")
    reply = run.chat("streaming", COUNT, stream=True)
    if reply.status != OK:
        return failed(f"{run.model}: {reply.status}: {words(reply)}", "the upstream, its key, or --model")
    if not reply.body.rstrip().endswith(b"data: [DONE]"):
        return failed("the stream broke off before [DONE]", "the streaming function's log has the reason")
    run.streamed = reply
    return passed(f"{run.model} has answered in {reply.seconds:.1f} s, whole to its [DONE]")


def stream(run: Run) -> Outcome:
    reply = run.streamed
    if reply is None:
        return not_run("nothing was streamed")
    return judged(reply.arrivals, len(reply.events), reply.seconds)


def judged(arrivals: Sequence[Arrival], events: int, seconds: float) -> Outcome:
    """Whether these bytes were sent as they were made. Pure: told by the times of their arrival."""
    times = arrived(arrivals)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    # The last arrival: [DONE], and the end of the body behind it.
    figures = {
        "first_byte_ms": round(times[0] * 1000, 1),
        "gap_ms": round(median(gaps) * 1000, 1) if gaps else 0.0,
        "longest_gap_ms": round(max(gaps) * 1000, 1) if gaps else 0.0,
        "tail_ms": round((seconds - times[-1]) * 1000, 1),
        "events": events,
        "arrivals": len(times),
    }
    told = (
        f"first byte {figures['first_byte_ms']:.0f} ms, {events} events in {len(times)} arrivals, between them "
        f"{figures['gap_ms']:.0f} ms (longest {figures['longest_gap_ms']:.0f}), tail {figures['tail_ms']:.0f} ms"
    )
    if events < FEW:
        return not_run(f"{told}: too few events to tell; name a model that streams more by --model")
    if len(times) < max(LEAST, SHARE * events):
        return failed(f"not streamed: {told}", "is a proxy in between, or InvokeMode BUFFERED on the URL?", figures)
    return passed(told, figures)


def arrived(arrivals: Sequence[Arrival]) -> list[float]:
    """When bytes arrived, those that came together once."""
    times: list[float] = []
    last = float("-inf")
    for one in arrivals:
        if one.at - last >= TOGETHER:
            times.append(one.at)
        last = one.at
    return times


def exact(run: Run) -> Outcome:
    """The streamed request once more: the same text, and no model asked."""
    found = run.await_source("streaming", COUNT, "exact", stream=True)
    if found.get("source") != "exact":
        return failed(
            f"not stored: {reasons(found)}", "the streaming function's log: was storing refused, or too slow?"
        )
    reply = run.cached("streaming", COUNT, "exact", stream=True)
    if reply.status != OK or reply.source != "exact":
        return failed(f"{reply.status}, {reply.source}: {words(reply)}", "docs/operations.md: hits are rare")
    if run.streamed and text(reply) != text(run.streamed):
        return failed(
            "the stored answer is another one", "report this: an exact hit must be the answer that was stored"
        )
    return passed(*_timed(reply))


def elsewhere(run: Run) -> Outcome:
    """The same question, whole, through the other function: another environment, which has it from the tables."""
    found = run.await_source("completion", COUNT, "exact")
    if found.get("source") != "exact":
        return failed(
            f"not found there: {reasons(found)}", "policy `read-answers`, and the log of the completion function"
        )
    reply = run.cached("completion", COUNT, "exact")
    if reply.status != OK or reply.source != "exact":
        return failed(f"{reply.status}, {reply.source}: {words(reply)}", "the log of the completion function")
    if run.streamed and text(reply) != text(run.streamed):
        return failed("the stored answer is another one", "report this: both forms of an answer have one text")
    return passed(*_timed(reply))


def semantic(run: Run) -> Outcome:
    """A question asked through one function, and in other words through the other: by the indexer and the bucket."""
    policy = run.stack.parameters.get("SemanticCache", "guarded")
    if policy in ("off", "shadow"):
        return not_run(f"SemanticCache is {policy}: nothing similar is served")
    reply = run.chat("streaming", ASKED)
    if reply.status != OK:
        return failed(f"{reply.status}: {words(reply)}", "the upstream, its key, or --model")
    begun = run.clock()
    found = run.await_source("completion", REWORDED, "semantic")
    waited = run.clock() - begun
    if found.get("source") != "semantic":
        return failed(
            f"not found after {waited:.0f} s: {reasons(found)}",
            "the indexer's log and the queue UnindexedQueue; `subsecond cache verify --stack-name`",
        )
    reply = run.cached("completion", REWORDED, "semantic")
    if reply.status != OK or reply.source != "semantic":
        return failed(f"{reply.status}, {reply.source}: {words(reply)}", "the log of the completion function")
    said, figures = _timed(reply)
    return passed(
        f"{said}, in the index {waited:.1f} s after it was stored", {**figures, "indexed_s": round(waited, 1)}
    )


def _timed(reply: Reply) -> tuple[str, dict[str, float]]:
    milliseconds = round(reply.first * 1000, 1)
    return f"the same answer, first byte {milliseconds:.0f} ms", {"first_byte_ms": milliseconds}


def reasons(explained: object) -> str:
    """The gateway's own words."""
    found = explained.get("reasons") if isinstance(explained, dict) else None
    return "; ".join(map(str, found)) if found else json.dumps(explained)[:200]


def text(reply: Reply) -> str:
    """What a reader sees of an answer, in either form."""
    parts = [choice for one in (reply.events or [reply.json]) for choice in one.get("choices", ())]
    return "".join(str((part.get("delta") or part.get("message") or {}).get("content") or "") for part in parts)
