"""What `subsecond verify` asks of an account where `make deploy-local` does not: of alarms, of a version."""

import io
import zipfile

import boto3
import pytest
from botocore.exceptions import ClientError

from subsecond_local.verify.account import AwsAccount, named
from subsecond_local.verify.ports import Denied, Refused


@pytest.fixture
def account(emulator, monkeypatch):
    for name, value in emulator.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    # What a command of before may have set.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return AwsAccount("no-stack", emulated=True)


def test_alarms_that_are_there_have_a_state_and_calls_are_counted_by_iams_names(account):
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName="a-1",
        Namespace="Subsecond",
        MetricName="Errors",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Period=300,
        Statistic="Sum",
        Threshold=1,
    )
    assert list(account.alarms(["a-1", "b-1"])) == ["a-1"]
    assert account.calls == {"cloudwatch:DescribeAlarms": 1}


def test_a_function_is_described_and_described_back(account):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return event")
    boto3.client("lambda").create_function(
        FunctionName="described",
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/r",
        Handler="app.handler",
        Code={"ZipFile": code.getvalue()},
        Description="before",
    )
    account.describe("described", "after")
    assert account.configuration("described")["Description"] == "after"
    assert account.invoke("described", {"a": 1}) == {"a": 1}


def test_a_stack_that_is_not_there_is_refused_in_words(account):
    with pytest.raises(Refused, match="cloudformation:DescribeStacks"):
        account.stack()


@pytest.mark.parametrize(("code", "error"), [("AccessDeniedException", Denied), ("ThrottlingException", Refused)])
def test_what_is_forbidden_is_told_from_what_fails(code, error):
    with pytest.raises(error, match="lambda:InvokeFunction"), named("lambda:InvokeFunction"):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Invoke")
