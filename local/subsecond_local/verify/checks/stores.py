"""What the gateway makes of an answer whose object is gone: 404 of the bucket, or 403 to a role that may not list."""

from __future__ import annotations

from subsecond_local.verify.checks.answers import reasons
from subsecond_local.verify.outcome import Outcome, failed, passed
from subsecond_local.verify.run import OK, PARTITION, Run, words

# Two, because one look-up may fail by its bound in time; what is forbidden fails both.
LOST = ("What is the capital city of Italy?", "What is the capital city of Spain?")


def missing_object(run: Run) -> Outcome:
    found = lost(run, LOST[0])
    return lost(run, LOST[1]) if found.state == "failed" else found


def lost(run: Run, question: str) -> Outcome:
    """The bucket's lifecycle may be quicker than the table's. Ours is: an answer of this run, kept in the table, is
    made to point at an object that is not there. That is a miss, and nothing that fails."""
    reply = run.chat("streaming", question)
    if reply.status != OK:
        return failed(f"{reply.status}: {words(reply)}", "the upstream, its key, or --model")
    found = run.await_source("streaming", question, "exact")
    if found.get("source") != "exact" or not run.account.point_at_nothing(PARTITION, str(found.get("key"))):
        return failed(f"not stored: {reasons(found)}", "the streaming function's log: was storing refused?")
    # Through the other function: this one remembers it.
    reply = run.chat("completion", question, trace=True)
    if reply.status != OK:
        return failed(f"the request fails with {reply.status}: {words(reply)}", "the log of the completion function")
    trace = reply.json.get("subsecond") or {}
    if any(name.startswith("exact") and name.endswith("_failed") for name in trace.get("counts") or {}):
        return failed(
            "the bucket answers 403, not 404, for an object that is not there: the look-up failed, the model answered",
            "policy `read-answers` lacks s3:ListBucket on the bucket, or s3:GetObject on answers/*",
        )
    if trace.get("source") != "upstream":
        return failed(f"answered from {trace.get('source')}", "report this: nothing was there to answer with")
    return passed("the bucket says 404, and the model was asked")
