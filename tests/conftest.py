"""What tests share: a clean environment, and small builders for calls, answers and gateways."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import settings as hypothesis_settings

from subsecond.config import Settings
from subsecond.model import Call, Entry, Form, Prompt, Recording, Tenant
from subsecond.setting_values import PREFIX
from tests.support.clock import Clock
from tests.support.processes import Stack, running_stack

KEY = "sk-test"
# By default an example that takes longer than 200 ms on the clock fails its test, also where the machine was busy.
hypothesis_settings.register_profile("unhurried", deadline=None)
hypothesis_settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings or the credentials of the machine that it runs on."""
    for name in list(os.environ):
        if name.startswith((PREFIX, "OPENAI_", "AWS_")):
            monkeypatch.delenv(name)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def settings() -> Settings:
    """Everything in memory, the simulator in the process. A busy machine is no reason for a miss: where a part that is
    slow is the test's subject, it names its own limit."""
    return Settings(
        upstream="subsecond_local.simulator.adapter",
        api_key=KEY,
        default_model="sim-t0-i0-n8",
        semantic_timeout=20.0,
        store_timeout=20.0,
        lease_timeout=20.0,
    )


@pytest.fixture
def clock():
    """`clock.now += 5`."""
    return Clock()


@pytest.fixture
def tenant() -> Tenant:
    return Tenant("acme", "prod", "laptop")


@pytest.fixture
def ask():
    """`ask("Hello?", temperature=0)` is a chat call."""

    def make(text: str = "Hello?", model: str = "sim-t0-i0-n8", **fields: object) -> Call:
        return Call("chat", model, {"model": model, "messages": [{"role": "user", "content": text}], **fields})

    return make


@pytest.fixture
def entry():
    """`entry("k", created=1.0, expires=9.0, body=b"...")` is a stored answer; `form="stream"`: of one event."""

    def make(
        key: str = "k",
        *,
        partition: str = "acme:prod",
        created: float,
        expires: float,
        body: bytes = b'{"a":1}',
        form: Form = "whole",
    ) -> Entry:
        recording = Recording(form, (body,), "stop", "m", text="Hello.")
        return Entry(partition, Prompt(key, "scope", "text"), recording, created, expires)

    return make


@pytest.fixture
def recording():
    """`recording("Hello there.", form="stream")` is a chat answer as a server gives it: the payloads are real ones."""

    def make(text: str = "Hello there.", *, form: Form = "whole", finish: str = "stop", model: str = "m") -> Recording:
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        frame = {"id": "c1", "object": f"chat.completion{'' if form == 'whole' else '.chunk'}", "created": 7}
        frame["model"] = model
        payloads = _events(text, finish) if form == "stream" else [_whole(text, finish)]
        payloads[-1]["usage"] = usage
        written = tuple(json.dumps({**frame, **payload}).encode() for payload in payloads)
        return Recording(form, written, finish, model, usage, text=text)

    return make


def _whole(text: str, finish: str) -> dict:
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]}


def _events(text: str, finish: str) -> list[dict]:
    """A role, the words, the end, and the usage behind them."""
    words = [{"content": word} for word in re.findall(r"\S+\s*|\s+", text)]
    deltas = [({"role": "assistant", "content": ""}, None), *((word, None) for word in words), ({}, finish)]
    choices = [[{"index": 0, "delta": delta, "finish_reason": reason}] for delta, reason in deltas]
    return [*({"choices": choice} for choice in choices), {"choices": []}]


@pytest.fixture
def aws_tables() -> Iterator[None]:
    """moto with the tables and the bucket that the default settings name. Single-threaded use only: it loses updates
    under concurrent conditional writes."""
    from moto import mock_aws

    with mock_aws():
        dynamodb, s3 = _moto_clients()
        pk, sk = {"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}
        for table, keys in (("subsecond-answers", [pk]), ("subsecond-state", [pk, sk])):
            dynamodb.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=keys,
                AttributeDefinitions=[{"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in keys],
            )
        s3.create_bucket(Bucket="subsecond-index")
        yield


@cache
def _moto_clients():
    """One pair for all tests. To make one, botocore reads megabytes of JSON: that was most of the time of the tests of
    stores."""
    import boto3

    return boto3.client("dynamodb"), boto3.client("s3")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory):
    """`with stack(MODE="app") as it`: a run on free ports, with the simulator unless told otherwise."""

    @contextmanager
    def running(**environ: str) -> Iterator[Stack]:
        data = tmp_path_factory.mktemp("run")
        command = (sys.executable, "-m", "subsecond_local.cli.main", "--data", str(data), "run")
        with running_stack(data, command, environ) as it:
            yield it

    return running
