"""The adapter for Bedrock against the stand-in, which signs every request again and asks botocore about its shape."""

import json
from dataclasses import replace

import pytest

from subsecond import bootstrap
from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.errors import InvalidRequest, NotFound, Unavailable, UpstreamError
from subsecond.model import Call
from subsecond.stages.upstream import Models
from subsecond.upstreams.admission import Admission, Limits
from subsecond.upstreams.bedrock import build
from subsecond.warmup.prewarm import prewarm
from subsecond_local.simulator.composer import THOUGHT
from tests.support.asking import collect
from tests.support.bedrock import CLAUDE, NEW_CLAUDE, NOVA, sent_by_botocore
from tests.support.simulator import BedrockProcess

GPT = "openai.gpt-oss-120b-1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123"
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def server():
    with BedrockProcess() as process:
        yield process


@pytest.fixture
async def bedrock(server, monkeypatch):
    """`bedrock(setting=...)` is the adapter."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
    server.reset()
    made = []

    def make(**settings):
        chosen = Settings(**{"upstream_retries": 0, **settings})
        made.append((chosen, build(chosen)))
        return made[-1][1]

    yield make
    for chosen, one in made:
        await one.aclose()
        aws_of(chosen).close()  # it remembers the credentials


def call(text="Hi", model=CLAUDE, form="whole", **fields):
    return Call("chat", model, {"model": model, "messages": [{"role": "user", "content": text}], **fields}, form=form)


async def said(upstream, asked):
    return json.loads((await upstream.ask(asked)).body)


@pytest.mark.parametrize("model", [CLAUDE, NEW_CLAUDE, PROFILE])
async def test_the_path_is_botocore_s_and_the_signature_holds(bedrock, server, model):
    found = await said(bedrock(bedrock_profiles=f"{PROFILE}={CLAUDE}"), call(model=model))
    assert (found["model"], found["choices"][0]["finish_reason"]) == (model, "stop")
    (asked,) = server.asked()
    assert (asked["model"], asked["region"]) == (model, "us-east-1")
    assert sent_by_botocore("Converse", model, asked["body"])["body"] == asked["body"]


async def test_the_request_id_of_aws_is_passed_on(bedrock):
    reply = await bedrock().ask(call())
    identity = dict(reply.headers)[b"x-upstream-request-id"].decode()
    assert json.loads(reply.body)["id"] == f"chatcmpl-{identity}"


async def test_a_region_of_its_own(bedrock, server):
    await said(bedrock(bedrock_region="eu-west-1"), call())
    assert server.asked()[0]["region"] == "eu-west-1"


async def test_temporary_credentials_are_signed_too(bedrock, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    assert (await said(bedrock(), call()))["choices"]


@pytest.mark.parametrize(("name", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")])
async def test_a_role_that_is_refused_is_ours_and_not_the_client_s(bedrock, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UpstreamError) as caught:
        await bedrock().ask(call())
    assert (caught.value.status, caught.value.code) == (502, "upstream_auth")


@pytest.mark.parametrize("name", ["AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"])
async def test_without_a_region_or_credentials_it_says_what_is_missing(bedrock, monkeypatch, tmp_path, name):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.delenv(name)
    with pytest.raises(Unavailable, match="region"):
        await bedrock().ask(call())


async def test_what_cannot_be_carried_is_never_sent(bedrock, server):
    with pytest.raises(InvalidRequest):
        await bedrock().ask(call(n=2))
    assert server.asked() == []


@pytest.mark.parametrize("form", ["whole", "stream"])
async def test_a_model_that_speaks_openai_s_is_asked_as_the_client_asked(bedrock, server, form):
    upstream = bedrock()
    asked = call(model=GPT, form=form, seed=7, logit_bias={"1": 2})
    if form == "whole":
        assert (await said(upstream, asked))["choices"][0]["message"]["content"]
    else:
        assert len(await collect(upstream, asked)) > 20
    (seen,) = server.asked()
    assert (seen["operation"], seen["body"]["seed"]) == ("ChatCompletions", 7)
    assert seen["body"]["messages"] == asked.body["messages"]


async def test_thoughts_and_calls_and_their_signatures_in_the_next_turn(bedrock, server):
    upstream, fields = bedrock(), {"tools": [WEATHER], "reasoning_effort": "low"}
    first = (await said(upstream, call("weather weather", NEW_CLAUDE, **fields)))["choices"][0]
    assert (first["finish_reason"], len(first["message"]["tool_calls"])) == ("tool_calls", 2)
    assert first["message"]["reasoning_content"] == THOUGHT
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "9"} for one in first["message"]["tool_calls"]]
    messages = [{"role": "user", "content": "weather weather"}, first["message"], *results]
    asked = call(model=NEW_CLAUDE, **fields)
    second = await said(upstream, replace(asked, body={**asked.body, "messages": messages}))
    assert second["choices"][0]["finish_reason"] == "stop"  # the stand-in refuses a signature that it has not made
    first["message"]["reasoning_details"][0]["text"] += "!"
    with pytest.raises(UpstreamError, match="signature"):
        await upstream.ask(replace(asked, body={**asked.body, "messages": messages}))
    assert len(server.asked()) == 3


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
async def test_the_prefix_cache_is_counted(bedrock, model):
    upstream = bedrock()
    long = [{"type": "text", "text": "long " * 200, "cache_control": {"type": "ephemeral"}}]
    counts = [(await said(upstream, call(long, model)))["usage"]["prompt_tokens_details"] for _ in range(2)]
    assert counts[0]["cached_tokens"] == 0 < counts[0]["cache_write_tokens"] == counts[1]["cached_tokens"]


async def test_a_schema_comes_as_the_answer(bedrock, server):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "number", "schema": schema}}
    upstream = bedrock()
    found = await said(upstream, call(model=NOVA, response_format=form))
    assert found["choices"][0]["finish_reason"] == "stop"
    number = json.loads(found["choices"][0]["message"]["content"])
    assert [type(value) for value in number.values()] == [int]
    chunks = [json.loads(one) for one in await collect(upstream, call(model=NOVA, form="stream", response_format=form))]
    told = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert json.loads(told) == number


@pytest.mark.parametrize("form", ["whole", "stream"])
async def test_a_guardrail_of_the_operator_s(bedrock, form):
    upstream = bedrock(bedrock_guardrail="gr1:2")
    asked = call("something forbidden", form=form)
    if form == "whole":
        choice = (await said(upstream, asked))["choices"][0]
    else:
        choice = json.loads((await collect(upstream, asked))[-2])["choices"][0]
    assert choice["finish_reason"] == "content_filter"


async def test_the_guardrail_goes_where_each_api_looks_for_it(bedrock, server):
    upstream = bedrock(bedrock_guardrail="gr1:2")
    await said(upstream, call())
    await said(upstream, call(model=GPT))
    await upstream.fetch("/embeddings", {"model": "amazon.titan-embed-text-v2:0", "input": "a"}, None)
    converse, openai, vectors = server.asked()
    assert converse["body"]["guardrailConfig"] == {"guardrailIdentifier": "gr1", "guardrailVersion": "2"}
    assert openai["headers"] == {
        "x-amzn-bedrock-guardrailidentifier": "gr1",
        "x-amzn-bedrock-guardrailversion": "2",
    }
    assert converse["headers"] == vectors["headers"] == {}


def test_a_guardrail_has_a_version():
    with pytest.raises(ValueError, match="ID:VERSION"):
        build(Settings(bedrock_guardrail="gr1"))


@pytest.mark.parametrize("form", ["whole", "stream"])
async def test_throttling_in_openai_s_words(bedrock, server, form):
    server.throttle("us-east-1", 1)
    with pytest.raises(UpstreamError) as caught:
        await bedrock().ask(call(form=form))
    assert (caught.value.status, caught.value.retry_after) == (429, "1")
    assert caught.value.body()["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("model", "size"), [("amazon.titan-embed-text-v2:0", 1024), ("cohere.embed-multilingual-v3", 1024)]
)
async def test_embeddings(bedrock, server, model, size):
    reply = await bedrock().fetch("/embeddings", {"model": model, "input": ["a", "b", "a"]}, None)
    found = json.loads(reply.body)
    vectors = [one["embedding"] for one in found["data"]]
    assert [len(one) for one in vectors] == [size] * 3
    assert vectors[0] == vectors[2] != vectors[1]
    assert found["usage"]["prompt_tokens"] > 0
    assert {one["operation"] for one in server.asked()} == {"InvokeModel"}


async def test_the_models_that_the_operator_names_are_listed(bedrock):
    upstream = bedrock(bedrock_models=f"{CLAUDE}, {NOVA}", default_model=NOVA)
    found = json.loads((await upstream.fetch("/models", None, None)).body)
    assert [one["id"] for one in found["data"]] == [CLAUDE, NOVA]
    with pytest.raises(NotFound):
        await upstream.fetch("/files", {"model": "m"}, None)


async def test_prewarming_opens_a_connection_though_the_list_of_models_asks_nobody(bedrock, monkeypatch):
    upstream = bedrock()
    settings = Settings(stores="memory", semantic="off")
    gateway = replace(bootstrap.gateway(settings), models=Models(upstream, Admission(Limits.of(settings))))
    assert (await prewarm(gateway))["failed"] == []
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:9")
    gateway = replace(gateway, models=Models(bedrock(bedrock_region="eu-west-1"), gateway.models.admission))
    assert (await prewarm(gateway))["failed"] == ["upstream"]
