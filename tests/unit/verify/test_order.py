"""The run as a whole: what follows from what, what is cleaned up, what is said, and the exit code."""

import json
from pathlib import Path

import pytest

from subsecond_local.cli import main as cli
from subsecond_local.deploy import deploy_verify
from subsecond_local.errors import LocalError
from subsecond_local.verify import account, command, order, report
from subsecond_local.verify.order import CHECKS, LAST, NAMES, verify
from subsecond_local.verify.outcome import failed, not_run, passed
from subsecond_local.verify.reports import read
from subsecond_local.verify.run import NAMESPACE, TENANT
from tests.support.verify import MemoryAccount, refusal, reply, run_of

PAGE = Path(__file__).parents[3] / "docs" / "verify.md"
INVALIDATE = ("POST", "/v1/cache/invalidate")
ALIVE = {
    ("GET", "/health"): reply(),
    ("GET", "/v1/models"): refusal(401),
    ("GET", "/v1/cache/stats"): refusal(401),
    INVALIDATE: reply({}),
}


def silent(_name):
    pass


def test_what_nothing_can_be_said_of_is_not_run_and_says_after_what():
    """The stack is not there: nothing else is tried, and nothing was written."""
    run = run_of(status="CREATE_FAILED")
    run.key = ""
    found = verify(run, silent)
    assert found["stack"].state == "failed"
    assert found["answer"].state == "not run"
    assert "`key`" in found["answer"].said
    assert [name for name, one in found.items() if one.state == "failed"] == ["stack"]


def test_every_check_needs_only_earlier_ones():
    seen = set()
    for check in (*CHECKS, *LAST):
        assert set(check.needs) <= seen
        seen.add(check.name)


def test_the_key_and_the_answers_are_gone_afterwards_whatever_happened():
    run = run_of(ALIVE, ALIVE, ALIVE)
    run.key = ""
    found = verify(run, silent)
    assert found["answer"].state == "failed"
    assert found["clean-up"].state == "passed"
    assert run.account.keys == {}
    assert ("create_key", run.tag, TENANT, NAMESPACE) in run.account.asked
    [invalidated] = [one for one in run.faces["streaming"].asked if one.path == INVALIDATE[1]]
    assert invalidated.body == {"by": "tag", "value": run.tag}


def test_it_is_cleaned_up_after_somebody_who_interrupts():
    def interrupt(name):
        if name == "answer":
            raise KeyboardInterrupt

    run = run_of(ALIVE, ALIVE, ALIVE)
    run.key = ""
    with pytest.raises(KeyboardInterrupt):
        verify(run, interrupt)
    assert run.account.keys == {}


def test_what_is_left_behind_is_named():
    run = run_of({**ALIVE, INVALIDATE: refusal(503, "try again")}, account=MemoryAccount(denied=("delete_key",)))
    found = order.clean_up(run)
    assert found.state == "failed"
    assert "its answers (try again) and its key" in found.said
    assert f"keys revoke {run.tag}" in found.todo


def test_what_the_caller_may_not_do_is_not_run_and_named():
    run = run_of(ALIVE, ALIVE, ALIVE, MemoryAccount(denied=("invoke", "log_groups")))
    found = verify(run, silent)
    for name in ("permissions", "log groups", "cold start"):
        assert (found[name].state, "your credentials may not" in found[name].said) == ("not run", True)


@pytest.mark.parametrize(
    ("listed", "url", "chosen"),
    [
        (["x", "gpt-4o-mini"], "https://api.openai.com/v1", "gpt-4o-mini"),
        (["x", "gpt-4o-mini"], "http://model:8000/v1", "x"),
        ([], "http://model:8000/v1", ""),
    ],
)
def test_without_a_name_a_model_is_taken_from_the_list(listed, url, chosen):
    models = reply({"data": [{"id": name} for name in listed]})
    run = run_of({("GET", "/v1/models"): models}, DefaultModel="", UpstreamUrl=url)
    run.model = ""
    order.key(run)
    assert run.model == chosen


FOUND = {
    "stack": passed("it stands"),
    "stream": failed("not streamed: " + "x " * 80, "look at the URL", {"events": 60}),
    "SnapStart": not_run("WarmMode is None"),
}


def test_the_table_has_a_row_for_each_check_and_what_to_do():
    lines = report.table(run_of(), FOUND).splitlines()
    assert lines[0] == "demo (eu-west-1), m"
    assert lines[2] == "stack      passed   it stands"
    assert any(line.strip() == "-> look at the URL" for line in lines)
    assert lines[-1] == "1 passed, 1 failed, 1 not run"
    assert max(map(len, lines)) <= 120


def test_the_object_has_all_of_it_and_no_key():
    run = run_of()
    run.key = "sk-ss-secret"
    found = report.public(run, FOUND, {"lambda:InvokeFunction": 1})
    assert "sk-ss" not in json.dumps(found)
    assert found["counts"] == {"passed": 1, "failed": 1, "not run": 1}
    assert found["checks"][1]["figures"] == {"events": 60}
    assert found["calls"] == {"lambda:InvokeFunction": 1}


@pytest.mark.parametrize(
    ("argv", "said"), [([], "Name the stack"), (["--stack-name=x", "--url=web=https://x"], "--url")]
)
def test_wrong_options_are_named_before_anything_is_asked(argv, said, capsys):
    assert cli.main(["verify", *argv]) == 1
    assert said in capsys.readouterr().err


def test_an_address_is_for_one_function():
    assert command.addressed(["streaming=https://ai.example/v1"]) == {"streaming": "https://ai.example/v1"}
    with pytest.raises(LocalError):
        command.addressed(["streaming=ai.example"])


IN_WORDS = (
    "REPORT RequestId: 1-a\tDuration: 12.5 ms\tBilled Duration: 13 ms\tMemory Size: 1024 MB\tMax Memory Used: 80 MB"
)
IN_JSON = {"type": "platform.report", "record": {"requestId": "1-a", "metrics": {"billedDurationMs": 13}}}


@pytest.mark.parametrize(
    ("message", "billed"),
    [(IN_WORDS, 13), (json.dumps(IN_JSON), 13), ("START RequestId: 1-a", None), ("[1, 2]", None)],
)
def test_reports_are_read_in_both_of_lambdas_formats(message, billed):
    line = account.line(message)
    found = read(line) if line else None
    assert (found and found.billed_ms) == billed


def policy():
    """The one of docs/verify.md."""
    return json.loads(PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0])


def test_the_policy_in_the_docs_is_what_the_command_asks_for_and_nothing_else():
    """`AwsAccount` cannot ask for anything that is not in ACTIONS: its hook looks every call up there."""
    actions = [action for statement in policy()["Statement"] for action in statement["Action"]]
    assert sorted(actions) == sorted(set(account.ACTIONS.values()) - {"dynamodb:Query"} | {"dynamodb:Query"})
    for statement in policy()["Statement"]:
        assert statement["Resource"] != "*" or statement["Action"] == [
            "logs:DescribeLogGroups",
            "cloudwatch:DescribeAlarms",
        ]


def test_the_docs_have_every_check():
    table = PAGE.read_text(encoding="utf-8").split("\n## The checks\n")[1].split("\n## ")[0]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| `")]
    assert tuple(row[0].strip("|` ") for row in rows) == NAMES
    assert {row[0].strip("|` ") for row in rows if row[2].startswith("no:")} == set(deploy_verify.NOT_RUN)
