"""Whether the stack stands, its functions can be reached, and their roles let them work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from subsecond_local.verify.outcome import Outcome, failed, passed
from subsecond_local.verify.ports import Face
from subsecond_local.verify.run import OK, Run, words

NEEDED = (
    "StreamingFunctionUrl",
    "CompletionFunctionUrl",
    "CacheStatsFunctionUrl",
    "PrewarmFunction",
    "StateTable",
    "AnswersTable",
    "Bucket",
)
DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
FACES: tuple[Face, ...] = ("streaming", "completion", "statistics")
UNAUTHORIZED, FORBIDDEN = 401, 403
# Nobody's key.
STRANGER = "sk-ss-nobody"
# What to look at when a part of a function does not work. The parts are those of `warmup/prewarm.py`.
PARTS = {
    "keys": "the state table: policy `authenticate`",
    "answers": "the answers table: policies `read-answers`, `store-answers`",
    "objects": "the bucket: policy `read-answers`",
    "upstream": "the upstream: UpstreamUrl, the key in UpstreamSecret or UpstreamParameter, BedrockModels",
    "semantic": "the index and the embedder: policies `read-index`, `ask-bedrock`",
    "rendezvous": "the state table: policy `meet`",
}


def stack(run: Run) -> Outcome:
    missing = [name for name in NEEDED if not run.stack.outputs.get(name)]
    if missing:
        return failed(f"no output {', '.join(missing)}", "is it a Subsecond of this version? Deploy it")
    if run.stack.status not in DONE:
        return failed(
            f"the stack is {run.stack.status}", "its events in CloudFormation say what went wrong, or is going on"
        )
    return passed(f"{run.stack.name} in {run.stack.region} is {run.stack.status}")


def health(run: Run) -> Outcome:
    """The first requests of the run: on a quiet stack each starts an environment."""
    took: dict[str, float] = {}
    for face in FACES:
        reply = run.get(face, "/health")
        if reply.status != OK:
            return failed(f"{face}: GET /health is {reply.status}: {words(reply)}", advice(reply.status))
        took[face] = round(reply.first * 1000)
        reply = run.get(face, "/v1/models" if face != "statistics" else "/v1/cache/stats", STRANGER)
        if reply.status != UNAUTHORIZED or "error" not in reply.json:
            return failed(f"{face}: a stranger's key gets {reply.status} and not 401", advice(reply.status))
    told = ", ".join(f"{face} {ms:.0f} ms" for face, ms in took.items())
    return passed(
        f"alive, and closed to strangers; first requests: {told}", {f"{face}_ms": ms for face, ms in took.items()}
    )


def advice(status: int) -> str:
    if status == FORBIDDEN:
        return "AWS refuses before the function: is public access to Function URLs forbidden in this account?"
    return "the function's log group has the reason"


def permissions(run: Run) -> Outcome:
    """Each function has touched every store, and the upstream, with its own role: the warmer's report. What has just
    started may have run out of time, and is asked once more; what is forbidden stays so."""
    found = reached(run.warm())
    return reached(run.warm_again()) if found.state == "failed" else found


def reached(report: Mapping[str, Any]) -> Outcome:
    if "error" in report:
        return failed(f"the warming function refuses: {report['error']}", "deploy this version")
    wrong = [("prewarm", part) for part in report.get("failed", ())]
    for one in report.get("functions", ()):
        wrong += [(one["function"], part) for part in one["failed"]]
        if one["errors"]:
            return failed(f"{one['function']}: {_counted(one['errors'])}", "its log group has the reason")
    if wrong:
        said = "; ".join(f"{function} cannot use {part}" for function, part in wrong)
        return failed(said, "; ".join(dict.fromkeys(PARTS.get(part, part) for _, part in wrong)))
    names = ["prewarm", *(one["function"] for one in report.get("functions", ()))]
    return passed(f"{', '.join(names)}: keys, answers, objects and upstream within reach of their roles")


def _counted(errors: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({n})" for name, n in errors.items())
