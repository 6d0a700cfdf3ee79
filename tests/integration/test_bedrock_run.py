"""`UPSTREAM=bedrock make run` against the stand-in, as openai-python meets it."""

import json
import re
import subprocess
import sys
from contextlib import contextmanager

import openai
import pytest

from subsecond_local.errors import LocalError
from subsecond_local.run.bedrock_access import bedrock_access
from tests.support.bedrock import NEW_CLAUDE
from tests.support.processes import UNHURRIED
from tests.support.simulator import BedrockProcess

READY = re.compile(r"Subsecond is ready: (\S+)  key: (\S+)  \(upstream: bedrock, .*\)\n")
CATALOGUE = {
    "upstreams": {"virginia": {"region": "us-east-1"}, "oregon": {"region": "us-west-2"}},
    "models": [
        {
            "name": "claude", "upstream": ["virginia", "oregon"], "model": NEW_CLAUDE, "tier": "quality",
            "capabilities": ["tools"],
        }
    ],
}  # fmt: skip
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
OTHER = {"us-east-1": "us-west-2", "us-west-2": "us-east-1"}


@pytest.fixture
def bedrock():
    with BedrockProcess() as process:
        yield process


@contextmanager
def running(data, bedrock, **environ):
    """`subsecond run`, and a client of it."""
    access = {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": bedrock.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-west-2",
    }
    command = (sys.executable, "-m", "subsecond_local.cli.main", "--data", str(data), "run")
    environ = {"PATH": "/usr/bin:/bin", "PORT": "0", "UPSTREAM": "bedrock", **access, **UNHURRIED, **environ}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            line = child.stdout.readline()
            found = READY.fullmatch(line)
            assert found, f"{line!r}\n{child.communicate(timeout=30)[1]}"
            yield openai.OpenAI(base_url=found[1], api_key=found[2], max_retries=0, timeout=60)
        finally:
            child.terminate()
            child.communicate(timeout=60)


class Turn:
    """One streamed turn: its headers, and the message that the client puts into its history."""

    def __init__(self, client, messages):
        fields = {"model": "claude", "messages": messages, "tools": [WEATHER], "reasoning_effort": "low"}
        raw = client.chat.completions.with_raw_response.create(stream=True, **fields)
        self.headers = raw.headers
        self.message = {"role": "assistant", "content": ""}
        for chunk in raw.parse():
            for choice in chunk.choices:
                self._add(choice.delta.model_dump(exclude_none=True))
                self.finish = choice.finish_reason

    def _add(self, delta):
        self.message["content"] += delta.get("content", "")
        for name in ("reasoning_content", "reasoning_details"):
            if name in delta:
                self.message[name] = self.message.get(name, type(delta[name])()) + delta[name]
        for piece in delta.get("tool_calls", ()):
            calls = self.message.setdefault("tool_calls", [])
            if piece.get("id"):
                calls.append({"id": piece["id"], "type": "function", "function": {**piece["function"]}})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]

    def answered(self):
        """The history with the results of its calls."""
        return [self.message] + [
            {"role": "tool", "tool_call_id": call["id"], "content": "12"} for call in self.message["tool_calls"]
        ]


def test_a_conversation_with_tools_and_thoughts_in_two_regions(tmp_path, bedrock):
    with running(tmp_path, bedrock, STORES="memory", SUBSECOND_CATALOGUE=json.dumps(CATALOGUE)) as client:
        history = [{"role": "user", "content": "Ask weather and weather again."}]
        first = Turn(client, history)
        assert first.finish == "tool_calls"
        calls = [json.loads(call["function"]["arguments"]) for call in first.message["tool_calls"]]
        assert [list(call) for call in calls] == [["city"], ["city"]]
        assert first.message["reasoning_content"]
        history += first.answered()
        second = Turn(client, history)  # the stand-in refuses a thought whose signature is not its own
        assert (second.finish, bool(second.message["content"])) == ("stop", True)
        home, again = (one["region"] for one in bedrock.asked())
        assert home == again  # where its prefix is cached

        repeated = Turn(client, history)
        assert "hit" in repeated.headers["cache-status"]
        assert repeated.message == second.message
        assert len(bedrock.asked()) == 2

        bedrock.throttle(home, 1)
        third = Turn(client, [*history, second.message, {"role": "user", "content": "Thank you."}])
        assert third.message["content"]
        assert [one["region"] for one in bedrock.asked()[2:]] == [home, OTHER[home]]
        assert "429" in third.headers["x-subsecond-route"]


def test_functions_and_tables_on_this_machine_beside_bedrock_elsewhere(tmp_path, bedrock):
    model = "amazon.nova-lite-v1:0"
    with running(tmp_path, bedrock, SUBSECOND_DEFAULT_MODEL=model) as client:
        told = [
            client.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": "Hi"}])
            for _ in range(2)
        ]
        assert ["hit" in one.headers["cache-status"] for one in told] == [False, True]
        assert [(one["region"], one["operation"]) for one in bedrock.asked()] == [("us-west-2", "Converse")]
        assert [one.id for one in client.models.list()] == [model]
        vectors = client.embeddings.create(model="amazon.titan-embed-text-v2:0", input=["a", "b"], dimensions=256)
        assert [len(one.embedding) for one in vectors.data] == [256, 256]


EMULATED = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}


def test_only_the_stores_are_ministack_s(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    own = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIA", "OTHER": "x", "AWS_PROFILE": "p"}
    found = bedrock_access(own, EMULATED)
    assert "AWS_ENDPOINT_URL" not in found
    assert found["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:1"
    assert (found["AWS_DEFAULT_REGION"], found["SUBSECOND_BEDROCK_REGION"]) == ("us-east-1", "eu-west-1")
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_PROFILE"]) == ("AKIA", "p")
    assert bedrock_access(own, {})["AWS_DEFAULT_REGION"] == "eu-west-1"


@pytest.mark.parametrize("missing", ["AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"])
def test_what_is_missing_is_said_before_anything_starts(monkeypatch, tmp_path, missing):
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv(missing)
    with pytest.raises(LocalError, match="needs"):
        bedrock_access({}, {})
