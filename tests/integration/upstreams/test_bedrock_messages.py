"""Anthropic's Messages on Bedrock, against the stand-in that signs every request again."""

import json
from dataclasses import replace

import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.dialects.lookup import dialect_of
from subsecond.errors import DialectNotSpoken, UpstreamError
from subsecond.model import Call
from subsecond.upstreams.bedrock import build
from subsecond.upstreams.kind import dialects_of
from tests.support.asking import collect
from tests.support.bedrock import CLAUDE, NOVA
from tests.support.simulator import BedrockProcess

MESSAGES = dialect_of("messages")
FAULTY = "sim-t0-i0-n9-ferrorevent3"
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


@pytest.fixture(scope="module")
def server():
    with BedrockProcess() as process:
        yield process


@pytest.fixture
async def bedrock(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
    server.reset()
    chosen = Settings(upstream_retries=0, bedrock_guardrail="guard:1", bedrock_profiles=f"{FAULTY}={CLAUDE}")
    upstream = build(chosen)
    yield upstream
    await upstream.aclose()
    aws_of(chosen).close()


def call(text="Hi", model=CLAUDE, form="whole", **fields):
    body = {"max_tokens": 50, "messages": [{"role": "user", "content": text}], **fields}
    return Call("messages", model, body, form=form)


async def test_a_message_passes_as_it_is_with_bedrocks_version(bedrock, server):
    betas = ((b"anthropic-version", b"2023-06-01"), (b"anthropic-beta", b"one,two"))
    reply = await bedrock.ask(replace(call(system="Be brief."), headers=betas))
    assert MESSAGES.not_an_answer(reply.body) is None
    [asked] = server.stats()["asked"]
    assert (asked["operation"], asked["model"]) == ("InvokeModel", CLAUDE)
    assert asked["body"] == {
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["one", "two"],
        **call(system="Be brief.").body,
    }
    assert asked["headers"]["x-amzn-bedrock-guardrailidentifier"] == "guard"


async def test_a_stream_is_claudes_own_events(bedrock, server):
    payloads = await collect(bedrock, call(form="stream", tools=[TOOL], tool_choice={"type": "any"}))
    assert [json.loads(one)["type"] for one in payloads][-1] == "message_stop"
    found = MESSAGES.recorded("stream", payloads)
    assert (found.finish, found.acts) == ("tool_calls", True)
    assert server.stats()["asked"][0]["operation"] == "InvokeModelWithResponseStream"


async def test_a_stream_that_fails_says_so(bedrock):
    stream = await bedrock.ask(call(model=FAULTY, form="stream"))
    while chunk := await stream.next():
        if error := MESSAGES.error_in_event(chunk.data, chunk.name):
            assert isinstance(error, UpstreamError)
            return
    pytest.fail("no error was told")


async def test_other_models_do_not_speak_it(bedrock, server):
    with pytest.raises(DialectNotSpoken, match="Messages"):
        await bedrock.ask(call(model=NOVA))
    assert server.stats()["asked"] == []


def test_bedrock_is_known_to_speak_it():
    assert "messages" in dialects_of(Settings(upstream="bedrock"))
