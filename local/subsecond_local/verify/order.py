"""Which checks there are, in which order, what each needs of those before it, and that the run is cleaned up after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from subsecond_local.verify.checks import answers, cost, deployment, starts, stores, watching
from subsecond_local.verify.outcome import Outcome, failed, not_run, passed
from subsecond_local.verify.ports import Denied, Question, Refused
from subsecond_local.verify.run import NAMESPACE, OK, TENANT, Run, words

OPENAI = "https://api.openai.com/v1"
# What OpenAI's list has among a hundred others.
CHEAP = "gpt-4o-mini"


@dataclass(frozen=True, slots=True)
class Check:
    """needs: checks that must have passed, or this one says nothing."""

    name: str
    run: Callable[[Run], Outcome]
    needs: tuple[str, ...] = ()


def key(run: Run) -> Outcome:
    """A key for this run alone, in a namespace of its own; and the model that it asks."""
    run.key = run.account.create_key(run.tag, TENANT, NAMESPACE)
    run.model = run.model or run.stack.parameters.get("DefaultModel", "") or listed(run)
    return passed(f"{run.tag} of {TENANT}, deleted at the end; the model is {run.model or 'none'}")


def listed(run: Run) -> str:
    """A model that the gateway lists: OpenAI's cheap one, else the first. Empty where it lists none."""
    found = run.get("streaming", "/v1/models").json.get("data") or ()
    names = [str(one["id"]) for one in found if isinstance(one, dict) and "id" in one]
    if run.stack.parameters.get("UpstreamUrl") == OPENAI and CHEAP in names:
        return CHEAP
    return names[0] if names else ""


def clean_up(run: Run) -> Outcome:
    """No answer of this run is served any more (they would live for a quarter of an hour), and its key is gone."""
    left = []
    try:
        body = {"by": "tag", "value": run.tag}
        reply = run.send("streaming", Question("POST", "/v1/cache/invalidate", body, run.key))
        if reply.status != OK:
            left.append(f"its answers ({words(reply)})")
    except Refused as error:
        left.append(f"its answers ({error})")
    try:
        run.account.delete_key(run.key)
    except (Denied, Refused) as error:
        left.append(f"its key ({error})")
    if left:
        todo = f"answers end by themselves; `subsecond keys revoke {run.tag} --stack-name {run.stack.name}`"
        return failed(f"left behind: {' and '.join(left)}", todo)
    return passed("the key is deleted, the answers are served no more")


# The last one is `cost`; `clean-up` comes before it, whatever happens.
CHECKS = (
    Check("stack", deployment.stack),
    Check("health", deployment.health, ("stack",)),
    Check("permissions", deployment.permissions, ("stack",)),
    Check("key", key, ("health",)),
    Check("answer", answers.answer, ("key",)),
    Check("stream", answers.stream, ("answer",)),
    Check("exact hit", answers.exact, ("answer",)),
    Check("hit elsewhere", answers.elsewhere, ("exact hit",)),
    Check("semantic hit", answers.semantic, ("answer",)),
    Check("missing object", stores.missing_object, ("answer",)),
    Check("statistics", watching.statistics, ("key",)),
    Check("log groups", watching.log_groups, ("stack",)),
    Check("alarms", watching.alarms, ("stack",)),
    Check("cold start", starts.cold_start, ("health",)),
    Check("SnapStart", starts.snapstart, ("stack",)),
)
LAST = Check("clean-up", clean_up), Check("cost", cost.cost)
NAMES = tuple(check.name for check in (*CHECKS, *LAST))


def verify(run: Run, told: Callable[[str], None]) -> dict[str, Outcome]:
    """Run all of them; each name's outcome. told: hears of each check before it begins."""
    found: dict[str, Outcome] = {}
    try:
        _run_all(CHECKS, run, told, found)
    finally:
        if run.key:
            _run_all(LAST, run, told, found)
    for check in LAST:
        found.setdefault(check.name, not_run("nothing was written"))
    return found


def _run_all(checks: Iterable[Check], run: Run, told: Callable[[str], None], found: dict[str, Outcome]) -> None:
    for check in checks:
        told(check.name)
        found[check.name] = outcome(check, run, found)


def outcome(check: Check, run: Run, found: dict[str, Outcome]) -> Outcome:
    for name in check.needs:
        if found[name].state != "passed":
            return not_run(f"it needs what `{name}` looks at, which has not passed")
    try:
        return check.run(run)
    except Denied as error:
        return not_run(f"your credentials may not {error}")
    except Refused as error:
        return failed(str(error), "is it reachable from here?")
