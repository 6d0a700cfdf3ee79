"""The account by boto3. Nothing is asked of it but what `ACTIONS` names: docs/verify.md has the policy for these."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from subsecond_local.cli.key_admin import KeyTable
from subsecond_local.verify.ports import Denied, Refused, Stack

if TYPE_CHECKING:
    from botocore.config import Config

# What boto3 sends, and the action that IAM calls it.
ACTIONS = {
    "cloudformation:DescribeStacks": "cloudformation:DescribeStacks",
    "cloudformation:ListStackResources": "cloudformation:ListStackResources",
    "dynamodb:Query": "dynamodb:Query",
    "dynamodb:PutItem": "dynamodb:PutItem",
    "dynamodb:DeleteItem": "dynamodb:DeleteItem",
    "dynamodb:UpdateItem": "dynamodb:UpdateItem",
    "lambda:Invoke": "lambda:InvokeFunction",
    "lambda:GetFunctionConfiguration": "lambda:GetFunctionConfiguration",
    "lambda:UpdateFunctionConfiguration": "lambda:UpdateFunctionConfiguration",
    "cloudwatch:DescribeAlarms": "cloudwatch:DescribeAlarms",
    "logs:DescribeLogGroups": "logs:DescribeLogGroups",
    "logs:FilterLogEvents": "logs:FilterLogEvents",
}
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedException", "UnauthorizedOperation")
# Seconds: as long as the warming function may take.
PATIENCE = 900
# Seconds for new code to be in place, and between two looks.
UPDATE, GAP = 60.0, 1.0
# As ministack, and Lambda's text format, have it. The template asks for JSON.
REPORT = re.compile(
    r"^REPORT RequestId: (\S+)\s+Duration: [\d.]+ ms\s+Billed Duration: ([\d.]+) ms\s+Memory Size: (\d+)"
)


class AwsAccount:
    """A stack's account. `calls`: how often each action was asked for."""

    def __init__(self, stack: str, *, emulated: bool) -> None:
        self._name = stack
        self._emulated = emulated
        self._clients: dict[str, Any] = {}
        self._resources: list[Mapping[str, Any]] = []
        self.calls: Counter[str] = Counter()
        self._outputs: Mapping[str, str] = {}

    def stack(self) -> Stack:
        """Denied, Refused: there is no such stack, or no way to it."""
        # The client too: without a region there is none.
        with named("cloudformation:DescribeStacks"):
            cloudformation = self._client("cloudformation")
            [found] = cloudformation.describe_stacks(StackName=self._name)["Stacks"]
        chosen = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())}
        self._outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())}
        region = cloudformation.meta.region_name
        return Stack(self._name, region, found["StackStatus"], chosen, self._outputs, self._emulated)

    def physical(self, kind: str) -> Mapping[str, str]:
        if not self._resources:
            with named("cloudformation:ListStackResources"):
                pages = self._client("cloudformation").get_paginator("list_stack_resources")
                for page in pages.paginate(StackName=self._name):
                    self._resources += page["StackResourceSummaries"]
        found = (one for one in self._resources if one["ResourceType"] == kind)
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def create_key(self, name: str, tenant: str, namespace: str) -> str:
        with named("dynamodb:Query, dynamodb:PutItem"):
            return self._keys().create(name, tenant, namespace)[0]

    def delete_key(self, token: str) -> None:
        with named("dynamodb:DeleteItem"):
            self._keys().delete(token)

    def point_at_nothing(self, partition: str, key: str) -> bool:
        dynamodb = self._client("dynamodb")
        with named("dynamodb:UpdateItem"):
            try:
                dynamodb.update_item(
                    TableName=self._outputs["AnswersTable"],
                    Key={"pk": {"S": f"{partition}#{key}"}},
                    UpdateExpression="SET whole_s3 = :nowhere REMOVE whole",
                    ConditionExpression="attribute_exists(whole)",
                    ExpressionAttributeValues={":nowhere": {"S": f"answers/{partition}/{key}/nothing"}},
                )
            except dynamodb.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def invoke(self, function: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
        with named("lambda:InvokeFunction"):
            reply = self._client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
            found: dict[str, Any] = json.loads(reply["Payload"].read())
        if "FunctionError" in reply:
            raise Refused(f"{function} failed: {found.get('errorType')}: {found.get('errorMessage')}")
        return found

    def configuration(self, function: str, qualifier: str = "") -> Mapping[str, Any]:
        asked = {"FunctionName": function, **({"Qualifier": qualifier} if qualifier else {})}
        with named("lambda:GetFunctionConfiguration"):
            found: Mapping[str, Any] = self._client("lambda").get_function_configuration(**asked)
        return found

    def describe(self, function: str, description: str) -> None:
        with named("lambda:UpdateFunctionConfiguration"):
            self._client("lambda").update_function_configuration(FunctionName=function, Description=description)
        end = time.monotonic() + UPDATE
        while self.configuration(function).get("LastUpdateStatus") == "InProgress" and time.monotonic() < end:
            time.sleep(GAP)

    def alarms(self, names: Sequence[str]) -> Mapping[str, str]:
        with named("cloudwatch:DescribeAlarms"):
            found = self._client("cloudwatch").describe_alarms(AlarmNames=list(names))["MetricAlarms"]
        return {one["AlarmName"]: one["StateValue"] for one in found}

    def log_groups(self, prefix: str) -> Mapping[str, int]:
        with named("logs:DescribeLogGroups"):
            pages = self._client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
            found = [one for page in pages for one in page["logGroups"]]
        return {one["logGroupName"]: one.get("retentionInDays", 0) for one in found}

    def log_lines(self, group: str, since: float, pattern: str) -> Iterator[Mapping[str, Any]]:
        with named("logs:FilterLogEvents"):
            pages = self._client("logs").get_paginator("filter_log_events")
            asked = {"logGroupName": group, "startTime": int(since * 1000), "filterPattern": pattern}
            messages = [one["message"] for page in pages.paginate(**asked) for one in page["events"]]
        return filter(None, map(line, messages))

    def _keys(self) -> KeyTable:
        return KeyTable(self._client("dynamodb"), self._outputs["StateTable"])

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            import boto3  # 0.3 s that `--help` need not wait for

            client: Any = boto3.client(service, config=_config())
            client.meta.events.register("before-call", self._count)
            self._clients[service] = client
        return self._clients[service]

    def _count(self, model: Any, **_: object) -> None:
        self.calls[ACTIONS[f"{model.service_model.service_name}:{model.name}"]] += 1


def _config() -> Config:
    from botocore.config import Config

    # An invocation that is sent again would warm others.
    return Config(connect_timeout=10, read_timeout=PATIENCE, retries={"total_max_attempts": 3, "mode": "standard"})


def line(message: str) -> Mapping[str, Any] | None:
    """A line of the log as JSON; None for any other. A report in words becomes one in JSON."""
    if found := REPORT.match(message):
        request_id, billed, memory = found.groups()
        metrics = {"billedDurationMs": float(billed), "memorySizeMB": int(memory)}
        return {"type": "platform.report", "record": {"requestId": request_id, "metrics": metrics}}
    try:
        parsed = json.loads(message)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


@contextmanager
def named(action: str) -> Generator[None]:
    """boto3's errors inside become Denied or Refused."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in DENIED:
            raise Denied(action) from error
        raise Refused(f"{action}: {error}") from error
    except (BotoCoreError, ValueError) as error:
        raise Refused(f"{action}: {error}") from error
