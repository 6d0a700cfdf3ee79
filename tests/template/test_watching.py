"""The dashboard and the alarms: off until asked for, and about figures that somebody writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.template import ANSWERING, FOLDERS

ROOT = Path(__file__).parents[2]
TELEMETRY = (ROOT / "shared/subsecond/lambda_runtime/telemetry.py").read_text()
WRITTEN = set(re.findall(r'\("(\w+)", (?:count|time)', TELEMETRY)) | set(re.findall(r'name="(\w+)"', TELEMETRY))
KINDS = {
    "AWS::CloudWatch::Dashboard": {"HasDashboard"},
    # What rolls a gradual deployment back is there with that as well.
    "AWS::CloudWatch::Alarm": {"HasAlarms", "HasRollbackAlarms"},
}


def watching(template):
    return {name: one for name, one in template.source["Resources"].items() if one["Type"] in KINDS}


def metrics(alarm):
    return [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", ()) if "MetricStat" in one] or [
        {name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions")} for _ in "1" if "MetricName" in alarm
    ]


@pytest.fixture
def board(template):
    body = template.source["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    return json.loads(re.sub(r"\$\{([\w:]+)\}", lambda name: "7" if name[1] == "SlowFirstByte" else name[1], body))


def test_they_cost_nothing_until_they_are_asked_for(template):
    made = watching(template)
    assert len(made) == 11
    for resource in made.values():
        assert resource["Condition"] in KINDS[resource["Type"]]
    alarms = ("HasAlarms", "AlarmState"), ("HasRollbackAlarms", "AlarmState")
    for condition, parameter in (("HasDashboard", "DashboardState"), *alarms):
        assert not template.holds(condition, {})
        assert template.holds(condition, {parameter: "ENABLED"})


def test_every_alarm_looks_at_a_figure_that_is_written_with_this_dimension(template):
    for name, resource in watching(template).items():
        for metric in metrics(resource["Properties"]) if name != "Dashboard" else ():
            if metric["Namespace"] == "Subsecond":
                assert metric["MetricName"] in WRITTEN, name
                assert metric["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]


def test_aws_own_figures_are_watched_too(template):
    """What no line of ours tells: a function that does not start, or is not called at all."""
    functions = {}
    for resource in watching(template).values():
        for metric in metrics(resource["Properties"]):
            if metric["Namespace"] == "AWS/Lambda":
                [dimension] = metric["Dimensions"]
                functions.setdefault(metric["MetricName"], set()).add(dimension["Value"]["Ref"])
    assert functions == {
        "Errors": set(FOLDERS),
        "Throttles": set(ANSWERING),
        "Url5xxCount": set(ANSWERING),
        "IteratorAge": {"Indexer"},
    }


def test_the_outputs_name_every_log(template):
    outputs = template.source["Outputs"]
    for name in FOLDERS:
        group = template.source["Resources"][name]["Properties"]["LoggingConfig"]["LogGroup"]
        assert outputs[f"{name}LogGroup"]["Value"] == group


def test_alarms_tell_a_topic_where_there_is_one_and_silence_is_no_alarm(template):
    topic = "arn:aws:sns:eu-west-1:123456789012:people"
    assert re.fullmatch(template.source["Parameters"]["AlarmTopic"]["AllowedPattern"], topic)
    for name, resource in watching(template).items():
        if name == "Dashboard":
            continue
        alarm = resource["Properties"]
        assert alarm["TreatMissingData"] == "notBreaching"
        for actions in (alarm["AlarmActions"], alarm["OKActions"]):
            assert template.resolve(actions, {}) == "AWS::NoValue"
            assert actions["Fn::If"][:2] == ["HasTopic", [{"Ref": "AlarmTopic"}]]
    assert template.holds("HasTopic", {"AlarmTopic": topic})


def test_the_dashboard_is_json_and_shows_figures_that_are_written(board):
    named = [
        line[1]
        for widget in board["widgets"]
        for line in widget["properties"].get("metrics", ())
        if isinstance(line[0], str) and line[0] == "Subsecond"
    ]
    assert {"Hits", "Requests", "TimeToFirstByte", "Errors"} <= set(named) <= WRITTEN
    for widget in board["widgets"]:
        assert widget["x"] + widget["width"] <= 24


def test_the_statistics_functions_page_knows_who_answers(template):
    variables = template.functions["CacheStats"]["Environment"]["Variables"]
    plain, live = ({"Fn::Sub": f"${{{name}.FunctionUrl}}"} for name in ("StreamingUrl", "StreamingLiveUrl"))
    assert variables["SUBSECOND_PUBLIC_URL"] == {"Fn::If": ["Versioned", live, plain]}
