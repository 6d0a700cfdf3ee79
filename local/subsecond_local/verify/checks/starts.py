"""Whether environments start, and from a snapshot where that was chosen, and how long that takes."""

from __future__ import annotations

from subsecond_local.verify.outcome import Outcome, failed, not_run, passed
from subsecond_local.verify.ports import Denied, Refused
from subsecond_local.verify.reports import reports
from subsecond_local.verify.run import OK, Run, words

ALIAS = "live"
STREAMING = "Streaming"


def cold_start(run: Run) -> Outcome:
    """Nothing is changed for it: the warmer keeps two environments of each function busy at the same time, and one may
    have been there before. With --force-cold-start the streaming function's are replaced."""
    if run.force:
        return forced(run)
    functions = run.warm().get("functions", ())
    asked, cold = (sum(one[name] for one in functions) for name in ("environments", "cold"))
    if not cold:
        return not_run(
            f"all {asked} environments were there already: come back when nobody asks, or --force-cold-start"
        )
    seconds = run.warm()["ms"] / 1000
    said, figures = _initialised(run, "init_ms")
    return passed(
        f"{cold} of {asked} environments started for this, side by side in {seconds:.1f} s; {said}",
        {"started": cold, "round_s": round(seconds, 1), **figures},
    )


def forced(run: Run) -> Outcome:
    """The function's description is changed, and changed back: Lambda gives it new environments both times."""
    if versioned(run):
        return not_run("the URL is a published version's, whose environments nothing replaces but a deployment")
    name = run.account.physical("AWS::Lambda::Function")[STREAMING]
    before = str(run.account.configuration(name).get("Description", ""))
    try:
        run.account.describe(name, f"{before} ({run.tag})"[:256])
        reply = run.get("streaming", "/health")
    finally:
        run.account.describe(name, before)
    if reply.status != OK:
        return failed(f"the new environment answers {reply.status}: {words(reply)}", "the streaming function's log")
    first = round(reply.first * 1000)
    said, figures = _initialised(run, "init_ms")
    return passed(f"first byte of a new environment {first} ms; {said}", {"first_byte_ms": first, **figures})


def versioned(run: Run) -> bool:
    chosen = run.stack.parameters
    return chosen.get("WarmMode") in ("SnapStart", "Provisioned") or chosen.get("DeploymentPreference", "Off") != "Off"


def snapstart(run: Run) -> Outcome:
    mode = run.stack.parameters.get("WarmMode", "None")
    if mode != "SnapStart":
        return not_run(f"WarmMode is {mode}")
    name = run.account.physical("AWS::Lambda::Function")[STREAMING]
    found = run.account.configuration(name, ALIAS)
    status = (found.get("SnapStart") or {}).get("OptimizationStatus")
    if status != "On":
        return failed(
            f"the published version has no snapshot: SnapStart is {status}, the version {found.get('State')}",
            "deploy again: a version that nobody has asked for 14 days goes inactive",
        )
    said, figures = _initialised(run, "restore_ms")
    if not figures:
        return not_run(f"the snapshot is there; {said}")
    return passed(f"the snapshot is there; {said}", figures)


def _initialised(run: Run, field: str) -> tuple[str, dict[str, float]]:
    """What Lambda's own lines say of the starts of this run."""
    what = {"init_ms": "init", "restore_ms": "restore"}[field]
    try:
        found = [*reports(run, "streaming"), *reports(run, "completion")]
    except (Denied, Refused) as error:
        return f"their {what} time is in the log, which cannot be read: {error}", {}
    times = [value for one in found if (value := getattr(one, field)) is not None]
    if not times:
        return f"the log has no {what} time of this run", {}
    return f"{what} {min(times):.0f} to {max(times):.0f} ms by Lambda's report", {f"longest_{field}": max(times)}
