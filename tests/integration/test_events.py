"""Every event in `events/` through the handler of its function, with the tables in moto and the simulator upstream.

An event's name is `<function>-<case>.json`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass, field
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from starlette.routing import Match

from subsecond.api.app import create_app
from subsecond.aws.client import aws_of
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.lambda_runtime.http_stream import HttpStream
from tests.support.functions import load_function
from tests.support.simulator import SimulatorProcess

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("streaming", "completion", "cache_stats", "prewarm")
CASES = {
    function: sorted(
        path.stem.removeprefix(f"{function}-")
        for path in (ROOT / "events").glob(f"{function}-*.json")
        if "requestContext" in json.loads(path.read_text())
    )
    for function in FUNCTIONS
}
QUESTION = "Why does the sky look blue?"
KEY = "sk-test-events"

STATUS = {
    "bad-key": 401,
    "no-key": 401,
    "malformed": 400,
    "not-found": 404,
    # Nobody made that response; and the simulator has neither pictures nor sounds.
    **dict.fromkeys(("response", "response-delete", "response-items", "response-cancel"), 404),
    **dict.fromkeys(("moderations", "images", "images-edit", "images-variation"), 404),
    **dict.fromkeys(("speech", "transcription", "translation"), 404),
}
# What each stream ends with.
STREAMED = {
    "chat-stream": b"data: [DONE]\n\n",
    "text-stream": b"data: [DONE]\n\n",
    "responses-stream": b"}}\n\n",
    "messages-stream": b'data: {"type":"message_stop"}\n\n',
}

# What the template sets for each function, with the simulator in the upstream's place.
COMMON = {"SUBSECOND_STORES": "aws"}
READING = {**COMMON, "SUBSECOND_UPSTREAM": "subsecond_local.simulator.adapter"}
VARIABLES = {
    "streaming": {**READING, "SUBSECOND_DEFAULT_MODEL": "sim-t0-i0-n8"},
    "completion": {**READING, "SUBSECOND_DEFAULT_MODEL": "sim-t0-i0-n8"},
    "cache_stats": {**COMMON, "SUBSECOND_EXACT": "memory"},
    "prewarm": READING,
}


class Context:
    """What Lambda hands to a handler."""

    function_name = "subsecond"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:subsecond"
    aws_request_id = "5f0c7d3e-2b1a-4c8d-9e6f-7a8b9c0d1e2f"

    def __init__(self, milliseconds: int = 30_000) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class Answer:
    """A response, whichever way the function gives it. `parts`: as a client gets them."""

    status: int
    headers: dict[str, str]
    parts: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Loaded:
    """A function's module, loaded by its path as Lambda does it, and what it has logged."""

    module: Any
    log: StringIO
    answers: list[Answer] = field(default_factory=list)

    def __call__(self, event: dict[str, Any], context: Context | None = None) -> Any:
        result = self.module.handler(event, context or Context())
        if isinstance(result, HttpStream):
            return Answer(result.status, dict(result.headers), result.loop.run_until_complete(collect(result)))
        if isinstance(result, dict) and "statusCode" in result:
            assert not result["isBase64Encoded"]
            return Answer(result["statusCode"], result["headers"], [result["body"].encode()])
        return result

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def close(self) -> None:
        if hasattr(self.module, "serve"):
            self.module.serve.close()
        else:
            self.module.loop.close()


async def collect(stream: HttpStream) -> list[bytes]:
    """The body's parts, once the function has done what it does after them."""
    parts = [part async for part in stream.chunks]
    await stream.after()
    return parts


def event_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


@pytest.fixture
def load(aws_tables, monkeypatch):
    """`load("completion")`: the function as a new environment has it. The events' key is in the table, with the tenant
    that `SUBSECOND_API_KEY` gives as well: some events name an entry, whose key has the tenant in it."""
    texts = {
        "pk": "keys",
        "sk": sha256(KEY.encode()).hexdigest(),
        "tenant": "local",
        "namespace": "default",
        "name": "events",
    }
    item = {name: {"S": text} for name, text in texts.items()}
    boto3.client("dynamodb").put_item(TableName="subsecond-state", Item={**item, "disabled": {"BOOL": False}})
    from subsecond.lambda_runtime import telemetry

    log = StringIO()
    core, handler = logging.getLogger("subsecond"), telemetry.logger.logger_handler
    level = core.level
    core.setLevel(logging.INFO)
    core.addHandler(handler)
    monkeypatch.setattr(handler, "stream", log)
    # On Lambda this comes from POWERTOOLS_SERVICE_NAME, read when the module is imported.
    monkeypatch.setattr(telemetry.metrics, "service", "stack")
    telemetry.metrics.clear_metrics()
    loaded = []

    def make(function: str, **variables: str) -> Loaded:
        for name, value in {**VARIABLES[function], **variables}.items():
            monkeypatch.setenv(name, value)
        loaded.append((Loaded(load_function(function), log), Settings.from_env()))
        return loaded[-1][0]

    yield make
    for one, settings in loaded:
        one.close()
        aws_of(settings).close()
    asyncio.set_event_loop(None)
    core.removeHandler(handler)
    core.setLevel(level)


def test_there_are_events_for_every_function():
    named = {path.stem.partition("-")[0] for path in (ROOT / "events").glob("*-*.json")}
    assert named == {path.parent.name for path in ROOT.glob("functions/*/app.py")}


def test_every_route_has_an_event_of_the_function_that_serves_all():
    asked = [event_of(f"streaming-{case}")["requestContext"]["http"] for case in CASES["streaming"]]
    scopes = [{"type": "http", "method": http["method"], "path": http["path"]} for http in asked]
    routes = create_app(gateway(Settings(api_key=KEY)), bare=True).routes
    met = [next((one for one in routes if one.matches(scope)[0] is Match.FULL), None) for scope in scopes]
    assert not [one for one in routes if one not in met]


# One environment for all events of a function: a new one for each would load AWS's service models thirty times.
@pytest.mark.parametrize("function", ["streaming", "completion", "cache_stats"])
def test_every_event_gets_its_status_and_shape(function, load):
    handle = load(function)
    for case in CASES[function]:
        check(case, handle(event_of(f"{function}-{case}")))


def check(case: str, answer: Answer) -> None:
    if case == "root":
        assert (answer.status, answer.headers["location"]) == (307, "/dashboard")
        return
    status = STATUS.get(case, 200)
    assert answer.status == status, (case, answer.body)
    kind = "text/event-stream" if case in STREAMED else "text/html" if case == "dashboard" else "application/json"
    assert answer.headers["content-type"].startswith(kind), case
    if case in STATUS:
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}, case
    elif case in STREAMED:
        assert answer.body.endswith(STREAMED[case]), (case, answer.body[-80:])
    elif case == "dashboard":
        assert answer.body.startswith(b"<!doctype html>"), case
    else:
        assert answer.json, case
    assert status != 401 or answer.headers["www-authenticate"] == "Bearer", case


@pytest.mark.parametrize("function", ["streaming", "completion"])
def test_what_one_event_stores_answers_the_next_environment(function, load):
    first = load(function)(event_of(f"{function}-chat"))
    second = load(function, SUBSECOND_SIMULATOR_SEED="1")(event_of(f"{function}-chat-stream"))
    assert first.headers["cache-status"] == "subsecond; fwd=miss"
    assert second.headers["cache-status"].endswith("; detail=exact")


def test_a_stream_leaves_the_streaming_function_in_parts(load):
    answer = load("streaming")(event_of("streaming-chat-stream"))
    assert len(answer.parts) > 8
    assert all(part.startswith(b"data: ") for part in answer.parts)


@pytest.mark.parametrize("function", ["streaming", "completion"])
def test_one_loop_serves_every_request_of_an_environment(function, load):
    handle = load(function)
    loop = getattr(handle.module, "loop", None) or handle.module.serve.loop
    for _ in range(2):
        assert handle(event_of(f"{function}-chat")).status == 200
    assert not loop.is_closed()
    if function == "completion":
        assert asyncio.get_event_loop_policy().get_event_loop() is loop


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_file_of_variables_makes_a_function_answer_without_an_account(function, load):
    variables = json.loads((ROOT / "events" / "env.json").read_text())[
        {"cache_stats": "CacheStats"}.get(function, function.title())
    ]
    with SimulatorProcess() as simulator:
        if "SUBSECOND_UPSTREAM_URL" in variables:
            # There the simulator is reached through Docker's name for the machine.
            variables["SUBSECOND_UPSTREAM_URL"] = simulator.base_url
        handle = load(function, **variables)
        for case in CASES[function]:
            check(case, handle(event_of(f"{function}-{case}")))
        if function in ("streaming", "prewarm"):
            report = handle(event_of(f"{function}-schedule"))
            assert report["failed"] == []
            assert set(report["steps_ms"]) == {"keys", "answers", "upstream", "semantic"}


@pytest.mark.parametrize("function", ["streaming", "completion"])
def test_an_answer_that_the_functions_time_does_not_allow_is_a_proper_error(function, load):
    event = event_of(f"{function}-chat")
    event["body"] = event["body"].replace("sim-t0-i0-n8", "sim-t9000-i0-n8")
    answer = load(function)(event, Context(milliseconds=700))
    assert answer.status == 504
    assert answer.json["error"]["code"] == "deadline_exceeded"


def test_statistics_come_from_the_table_that_all_functions_share(load):
    answering = load("completion", SUBSECOND_FLUSH_INTERVAL="0")
    for _ in range(2):
        answering(event_of("completion-chat"))
    figures = load("cache_stats")(event_of("cache_stats-stats")).json
    assert figures["requests"] == 2
    assert figures["hits"]["exact"] == 1


@pytest.mark.parametrize("function", ["streaming", "prewarm"])
def test_a_schedule_warms_every_part_without_a_token(function, load):
    handle = load(function)
    report = handle(event_of(f"{function}-schedule"))
    assert report["failed"] == []
    assert set(report["steps_ms"]) == {"keys", "answers", "upstream", "objects", "semantic"}
    assert handle.lines()[-1]["message"] == "prewarmed"


def test_the_schedule_of_lists_asks_nothing_where_none_is_named(load):
    # A list is asked through another function, which moto does not run: `test_prewarm.py` does.
    assert load("prewarm")(event_of("prewarm-prompts")) == {"prompts": []}


def test_a_part_that_does_not_answer_is_named(load):
    report = load("prewarm", SUBSECOND_STATE_TABLE="nothing-here")(event_of("prewarm-schedule"))
    assert report["failed"] == ["keys"]


@pytest.mark.parametrize("function", ["streaming", "completion"])
def test_the_log_has_a_line_for_each_request_and_never_its_text_or_its_key(function, load, capsys):
    handle = load(function)
    answer = handle(event_of(f"{function}-chat"))
    printed = capsys.readouterr().out
    line = handle.lines()[-1]
    assert line["message"] == "request"
    assert line["correlation_id"] == event_of(f"{function}-chat")["requestContext"]["requestId"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["partition"] == "local:default"
    assert line["source"] == "upstream"
    assert line["function_request_id"] == Context.aws_request_id
    text = answer.json["choices"][0]["message"]["content"]
    for secret in (QUESTION, KEY, text):
        assert secret not in handle.log.getvalue() + printed


@pytest.mark.parametrize("function", ["streaming", "completion"])
def test_metrics_are_printed_once_a_response_has_ended(function, load, capsys):
    handle = load(function)
    event = event_of(f"{function}-chat-stream")
    if function == "streaming":
        stream = handle.module.handler(event, Context())
        assert capsys.readouterr().out == ""
        stream.loop.run_until_complete(collect(stream))
    else:
        handle(event)
    [blob] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    described = blob["_aws"]["CloudWatchMetrics"][0]
    assert described["Namespace"] == "Subsecond"
    assert described["Dimensions"] == [["service"]]
    assert blob["service"] == "stack"
    assert blob["Requests"] == [1.0]
    assert blob["Hits"] == [0.0]
    assert blob["ColdStart"] == [1.0]
    assert blob["TimeToFirstByte"][0] <= blob["Duration"][0]


def test_every_prompt_of_a_batch_is_counted(load, capsys):
    load("completion")(event_of("completion-batch"))
    assert json.loads(capsys.readouterr().out)["Requests"] == [1.0, 1.0]


def test_a_request_without_a_figure_prints_nothing(load, capsys):
    assert load("cache_stats")(event_of("cache_stats-health")).status == 200
    assert capsys.readouterr().out == ""


def test_an_event_is_not_logged_even_where_the_environment_asks_for_it(load, monkeypatch):
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    handle = load("completion")
    handle(event_of("completion-chat"))
    assert KEY not in handle.log.getvalue()


def test_the_core_logs_through_the_structured_logger(load):
    handle = load("completion", SUBSECOND_ANSWERS_TABLE="nothing-here")
    assert handle(event_of("completion-chat")).status == 200
    warnings = [line for line in handle.lines() if line["level"] == "WARNING"]
    assert {line["correlation_id"] for line in warnings} == {"5f0c7d3e-2b1a-4c8d-9e6f-7a8b9c0d1e2f"}
