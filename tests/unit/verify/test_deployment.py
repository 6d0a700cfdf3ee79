"""The stack, its functions' roles, their starts, the logs and the alarms, the cost."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from subsecond.warmup import prewarm
from subsecond_local.verify.checks import cost, deployment, starts, watching
from subsecond_local.verify.order import Check, outcome
from subsecond_local.verify.ports import Report
from subsecond_local.verify.run import PARTITION, Asked
from tests.support.verify import WARMED, MemoryAccount, refusal, reply, run_of

HEALTH, MODELS, STATS = ("GET", "/health"), ("GET", "/v1/models"), ("GET", "/v1/cache/stats")
OPEN = {HEALTH: reply(), MODELS: refusal(401), STATS: refusal(401)}
GROUP = "/subsecond/demo/streaming"


def test_a_stack_that_stands_has_every_output_and_no_update_under_way():
    assert deployment.stack(run_of()).state == "passed"
    found = deployment.stack(run_of(status="UPDATE_ROLLBACK_COMPLETE"))
    assert (found.state, "UPDATE_ROLLBACK_COMPLETE" in found.said) == ("failed", True)
    run = run_of()
    run.stack = replace(run.stack, outputs={**run.stack.outputs, "Bucket": ""})
    assert "no output Bucket" in deployment.stack(run).said


def test_the_functions_are_alive_and_closed_to_strangers():
    found = deployment.health(run_of(OPEN, OPEN, OPEN))
    assert (found.state, found.figures["streaming_ms"]) == ("passed", 50)


@pytest.mark.parametrize(
    ("replies", "said", "todo"),
    [
        ({HEALTH: refusal(403)}, "GET /health is 403", "public access"),
        ({HEALTH: refusal(502)}, "GET /health is 502", "log group"),
        ({MODELS: reply({"data": []})}, "a stranger's key gets 200", "log group"),
        # Lambda's own refusal, in its own words.
        ({MODELS: reply({"Message": "Forbidden"}, 403)}, "a stranger's key gets 403", "public access"),
    ],
)
def test_a_function_that_is_dead_or_open_fails(replies, said, todo):
    found = deployment.health(run_of(OPEN, {**OPEN, **replies}, OPEN))
    assert (found.state, said in found.said, todo in found.todo) == ("failed", True, True)


def test_a_url_that_nobody_answers_at_fails_with_what_the_network_said():
    found = outcome(Check("health", deployment.health), run_of(), {})
    assert (found.state, found.said) == ("failed", "nobody answers /health")


def warmed(**changes):
    first, second = WARMED["functions"]
    return MemoryAccount({**WARMED, "functions": [{**first, **changes}, second]})


def test_roles_that_reach_every_store_pass_and_two_environments_are_asked_for():
    run = run_of()
    assert deployment.permissions(run).state == "passed"
    assert run.account.asked == [("invoke", "warmer", {"prewarm": {"environments": 2}})]
    # No more than the stack lets run at a time.
    run = run_of(ReservedConcurrency="1")
    deployment.permissions(run)
    assert run.account.asked == [("invoke", "warmer", {"prewarm": {"environments": 1}})]


@pytest.mark.parametrize(
    ("account", "said", "todo"),
    [
        (warmed(failed={"answers": 2}), "Streaming-1 cannot use answers", "read-answers"),
        (warmed(errors={"TooManyRequestsException": 1}), "TooManyRequestsException (1)", "log group"),
        (MemoryAccount({**WARMED, "failed": ["upstream"]}), "prewarm cannot use upstream", "UpstreamSecret"),
        (MemoryAccount({"error": "environments: 'x'"}), "refuses", "deploy"),
    ],
)
def test_a_role_that_does_not_reach_a_store_is_named_with_its_policy(account, said, todo):
    found = deployment.permissions(run_of(account=account))
    assert (found.state, said in found.said, todo in found.todo) == ("failed", True, True)


def test_what_ran_out_of_time_while_it_started_is_asked_once_more():
    first, second = WARMED["functions"]
    late = {**WARMED, "functions": [{**first, "failed": {"upstream": 2}}, second]}

    class Recovers(MemoryAccount):
        def invoke(self, function, event):
            super().invoke(function, event)
            return late if len(self.asked) == 1 else WARMED

    run = run_of(account=Recovers())
    assert deployment.permissions(run).state == "passed"
    # What started did so for the first.
    assert run.warm() is late


def test_every_part_that_an_environment_warms_has_words():
    """The parts are those of `warmup/prewarm.py`, which names them as it touches them."""
    touched = set(re.findall(r'touch\("(\w+)"', Path(prewarm.__file__).read_text()))
    assert {*touched, "rendezvous"} == set(deployment.PARTS)


def told(request, *, message="request", **metrics):
    """The line of ours and Lambda's report of one invocation."""
    ours = {"function_request_id": request, "message": message, "partition": PARTITION, "request_id": f"req_{request}"}
    record = {"requestId": request, "metrics": {"billedDurationMs": 100, "memorySizeMB": 1024, **metrics}}
    return [ours, {"type": "platform.report", "record": record}]


def test_a_cold_start_is_seen_without_changing_anything():
    account = MemoryAccount(lines={GROUP: told("a", message="prewarmed", initDurationMs=412.5)})
    found = starts.cold_start(run_of(account=account))
    assert found.state == "passed"
    assert found.figures == {"started": 3, "round_s": 1.8, "longest_init_ms": 412.5}
    assert not [one for one in account.asked if one[0] == "describe"]


def test_lines_of_others_say_nothing_of_this_run():
    other = {**told("b")[0], "partition": "acme:prod"}
    account = MemoryAccount(lines={GROUP: [other, told("b", initDurationMs=900)[1]]})
    found = starts.cold_start(run_of(account=account))
    assert "longest_init_ms" not in found.figures


def test_where_all_was_warm_the_check_says_how_to_see_one():
    quiet = [{**one, "cold": 0} for one in WARMED["functions"]]
    found = starts.cold_start(run_of(account=MemoryAccount({**WARMED, "functions": quiet})))
    assert (found.state, "--force-cold-start" in found.said) == ("not run", True)


def test_a_log_that_may_not_be_read_leaves_the_start_itself():
    found = starts.cold_start(run_of(account=MemoryAccount(denied=("log_lines",))))
    assert (found.state, "cannot be read" in found.said) == ("passed", True)


@pytest.mark.parametrize("answer", [reply(at=0.7), refusal(502)])
def test_a_forced_start_changes_the_description_and_changes_it_back(answer):
    account = MemoryAccount(
        resources={"AWS::Lambda::Function": {"Streaming": "S-1"}},
        functions={("S-1", ""): {"Description": "Every route."}},
    )
    run = run_of({HEALTH: answer}, account=account)
    run.force = True
    found = starts.cold_start(run)
    assert found.state == ("passed" if answer.status == 200 else "failed")
    changes = [one[2] for one in account.asked if one[0] == "describe"]
    assert changes == [f"Every route. ({run.tag})", "Every route."]


@pytest.mark.parametrize("chosen", [{"WarmMode": "SnapStart"}, {"DeploymentPreference": "Canary10Percent5Minutes"}])
def test_a_published_version_is_not_forced(chosen):
    run = run_of(**chosen)
    run.force = True
    assert (starts.cold_start(run).state, run.account.asked) == ("not run", [])


def snapshots(status, *lines):
    functions = {("S-1", "live"): {"SnapStart": {"OptimizationStatus": status}, "State": "Active"}}
    resources = {"AWS::Lambda::Function": {"Streaming": "S-1"}}
    return MemoryAccount(resources=resources, functions=functions, lines={GROUP: list(lines)})


def test_snapstart_is_looked_at_where_it_was_chosen():
    assert "WarmMode is None" in starts.snapstart(run_of()).said
    found = starts.snapstart(run_of(account=snapshots("On", *told("a", restoreDurationMs=210)), WarmMode="SnapStart"))
    assert (found.state, found.figures) == ("passed", {"longest_restore_ms": 210})
    found = starts.snapstart(run_of(account=snapshots("Off"), WarmMode="SnapStart"))
    assert (found.state, "14 days" in found.todo) == ("failed", True)
    found = starts.snapstart(run_of(account=snapshots("On"), WarmMode="SnapStart"))
    assert (found.state, "the snapshot is there" in found.said) == ("not run", True)


def test_log_groups_are_there_and_forget():
    kept = {"/subsecond/demo/streaming": 14, "/subsecond/demo/completion": 14}
    assert watching.log_groups(run_of(account=MemoryAccount(groups=kept))).state == "passed"
    endless = watching.log_groups(run_of(account=MemoryAccount(groups={**kept, GROUP: 0})))
    assert (endless.state, GROUP in endless.said) == ("failed", True)
    gone = watching.log_groups(run_of(account=MemoryAccount(groups={GROUP: 14})))
    assert (gone.state, "/subsecond/demo/completion" in gone.said) == ("failed", True)


@pytest.mark.parametrize(
    ("states", "state", "said"),
    [
        ({"a-1": "OK", "b-1": "INSUFFICIENT_DATA"}, "passed", "2 alarms"),
        ({"a-1": "OK"}, "failed", "missing: Crashes"),
        ({"a-1": "ALARM", "b-1": "OK"}, "failed", "ringing: ManyErrors"),
    ],
)
def test_alarms_are_there_and_quiet(states, state, said):
    resources = {"AWS::CloudWatch::Alarm": {"ManyErrors": "a-1", "Crashes": "b-1"}}
    found = watching.alarms(run_of(account=MemoryAccount(resources=resources, states=states)))
    assert (found.state, said in found.said) == (state, True)


def test_a_stack_without_alarms_is_no_failure():
    assert "AlarmState=ENABLED" in watching.alarms(run_of()).said


def test_statistics_answer():
    assert watching.statistics(run_of(statistics={STATS: reply({"requests": 3})})).state == "passed"
    assert watching.statistics(run_of(statistics={STATS: refusal(500)})).state == "failed"


def test_the_cost_is_what_a_hand_would_reckon():
    """A second by Lambda's report and half a second by the clock here, at 1 GB; a miss and a hit."""
    account = MemoryAccount(lines={GROUP: told("a", billedDurationMs=1000)})
    run = run_of(account=account)
    run.asked = [Asked("streaming", "upstream", 9.0, 30, "req_a"), Asked("completion", "exact", 0.5, 0)]
    found = cost.cost(run)
    assert found.figures["gb_seconds"] == 1.5
    assert found.figures["tokens"] == 30
    functions = 2 * 0.2e-6 + 1.5 * 0.0000133334
    tables = (0.5 * 0.125 + 5 * 0.625) * 1e-6 + 0.5 * 0.125e-6
    rest = 2 * 1.03e-6 + 1.72e-6
    assert found.figures["dollars"] == pytest.approx(functions + tables + rest, abs=1e-6)


def test_what_was_warmed_does_not_stand_for_requests_without_an_id():
    run = run_of(account=MemoryAccount(lines={GROUP: told("a", message="prewarmed")}))
    run.reported = {"streaming": [Report("a", 100, 1024)], "completion": ()}
    run.asked = [Asked("streaming", "", 2.0, 0)]
    assert cost.gb_seconds(run) == (pytest.approx(2.1), 1)
