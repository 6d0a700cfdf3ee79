"""Errors that say what to do: for the mistakes that a client's settings make."""

import gzip
import json
import zlib
from dataclasses import replace

import pytest

BODY = json.dumps({"model": "sim-t0-i0-n4", "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.mark.parametrize("coding", ["br", "ZSTD", "deflate, gzip", "x" * 200, "identity", None])
async def test_a_compressed_body_is_a_415_that_says_what_is_read(served, coding):
    client = await served()
    headers = {"content_encoding": coding} if coding else {}
    seen = await client.post("/v1/chat/completions", gzip.compress(BODY), **headers)
    assert (seen.status, seen.json["error"]["code"]) == (415, "unsupported_encoding")
    found = "gzip" if coding in (None, "identity") else coding.lower()[:40]
    remedy = "Send gzip with the header `Content-Encoding: gzip`, or the JSON itself."
    assert seen.json["error"]["message"] == f"The body is compressed ({found}). {remedy}"
    assert seen.headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize(
    ("coding", "packed"), [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress)]
)
async def test_a_packed_body_is_read_as_its_plain_one(served, coding, packed):
    client = await served()
    first = await client.post("/v1/chat/completions", packed(BODY), content_encoding=coding)
    again = await client.post("/v1/chat/completions", BODY)
    assert (first.status, first.headers["cache-status"]) == (200, "subsecond; fwd=miss")
    assert again.headers["cache-status"].startswith("subsecond; hit")
    assert again.body == first.body


async def test_a_packed_body_may_have_several_members(served):
    """As a tool makes them that packs block by block (RFC 1952, section 2.2)."""
    client = await served()
    members = gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])
    seen = await client.post("/v1/chat/completions", members, content_encoding="gzip")
    assert (seen.status, seen.headers["cache-status"]) == (200, "subsecond; fwd=miss")
    assert (await client.post("/v1/chat/completions", BODY)).headers["cache-status"].startswith("subsecond; hit")


async def test_what_unpacks_to_nothing_over_and_over_is_refused(served):
    client = await served()
    seen = await client.post("/v1/chat/completions", gzip.compress(b"") * 200, content_encoding="gzip")
    assert (seen.status, seen.json["error"]["code"]) == (400, "invalid_encoding")
    assert "members" in seen.json["error"]["message"]


@pytest.mark.parametrize(
    "body", [BODY, b"", gzip.compress(BODY) + b"more", gzip.compress(BODY)[:-9]], ids=["plain", "none", "longer", "cut"]
)
async def test_a_body_that_is_not_packed_as_it_says_is_a_400(served, body):
    client = await served()
    seen = await client.post("/v1/chat/completions", body, content_encoding="gzip")
    assert (seen.status, seen.json["error"]["code"]) == (400, "invalid_encoding")


async def test_a_packed_body_may_unpack_to_no_more_than_a_plain_one_may_be(served):
    client = await served()
    packed = gzip.compress(BODY + b" " * 20_000_000)
    seen = await client.post("/v1/chat/completions", packed, content_encoding="gzip")
    assert (seen.status, seen.json["error"]["code"]) == (413, "request_too_large")


async def test_a_body_that_is_said_to_be_plain_is_read(served):
    client = await served()
    assert (await client.post("/v1/chat/completions", BODY, content_encoding="identity")).status == 200


@pytest.mark.parametrize("given", ["{key}", "Basic {key}", "Token {key}", "Bearer"])
async def test_a_key_without_its_scheme_is_told_so(served, given):
    client = await served()
    header = given.format(key=client.key)
    response = await client.http.post("/v1/chat/completions", content=BODY, headers={"authorization": header})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (401, "invalid_api_key")
    assert error["message"].startswith("`Authorization` must be `Bearer KEY`")
    assert client.key not in error["message"]


@pytest.mark.parametrize("header", [{}, {"authorization": ""}])
async def test_no_key_at_all_is_another_mistake(served, header):
    client = await served()
    response = await client.http.post("/v1/chat/completions", content=BODY, headers=header)
    assert (response.status_code, response.json()["error"]["message"].split(".")[0]) == (401, "No API key")


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("POST", "/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/embeddings", "/v1/embeddings"),
        ("GET", "/models", "/v1/models"),
        ("GET", "/models/some/name", "/v1/models/some/name"),
        ("GET", "/chat/completions", "/v1/chat/completions"),
    ],
)
async def test_a_base_url_without_v1_gets_a_short_404_that_names_it(served, method, path, meant):
    client = await served()
    seen = await client.send(method, path)
    said = f"{method} {path} is not served. {meant} is: let the client's base URL end in /v1, once."
    assert (seen.status, seen.json["error"]["message"]) == (404, said)


@pytest.mark.parametrize(
    ("by", "value", "said"),
    [
        ("namespace", "prod", "leave 'value' out"),
        ("entry", "x", "64 hexadecimal digits, as Cache-Status has it"),
        ("scope", "", "64 hexadecimal digits, as /v1/cache/explain has it"),
        ("tag", "a b", "1 to 64 letters"),
        ("model", "", "1 to 256 characters"),
    ],
)
async def test_a_value_that_is_none_of_its_kind_is_told_what_is_wanted(served, by, value, said):
    client = await served()
    error = (await client.post("/v1/cache/invalidate", {"by": by, "value": value})).json["error"]
    assert (error["param"], error["code"]) == ("value", "invalid_value")
    assert error["message"].startswith(f"'value' is no {by}: ")
    assert said in error["message"]


@pytest.mark.parametrize(
    ("agent", "remedy"),
    [
        ("Agents/Python 0.20", "set_default_openai_api"),
        ("pydantic-ai/1.9 python", "OpenAIChatModel"),
        ("ai-sdk/openai/3.1 runtime/node", "openai.chat(MODEL)"),
        ("langchain-openai/1.7", "use_responses_api=False"),
        ("OpenAI/Python 3.54.0", "client.chat.completions.create"),
    ],
)
async def test_a_client_of_responses_is_told_its_own_way_to_chat_completions(served, settings, agent, remedy):
    client = await served(replace(settings, upstream_dialects="chat"))
    seen = await client.post("/v1/responses", {"model": "m", "input": "hi"}, user_agent=agent)
    assert (seen.status, seen.json["error"]["code"]) == (404, "api_not_served")
    assert remedy in seen.json["error"]["message"]
    assert seen.json["error"]["message"].count("Use ") == 1
    assert "model" not in seen.json["error"]["message"].split("Use")[0]


async def test_an_unknown_client_of_responses_is_told_all_ways(served, settings):
    client = await served(replace(settings, upstream_dialects="chat"))
    seen = await client.post("/v1/responses", {"model": "m", "input": "hi"}, user_agent="curl/8")
    assert all(word in seen.json["error"]["message"] for word in ("Agents SDK", "pydantic-ai", "Vercel", "LangChain"))


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
async def test_a_client_of_messages_is_told_in_anthropics_shape(served, settings, path):
    client = await served(replace(settings, upstream_dialects="chat"))
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    seen = await client.post(path, asked, user_agent="Anthropic/Python 0.70")
    assert (seen.status, seen.json["type"], seen.json["error"]["type"]) == (404, "error", "not_found_error")
    assert "Chat completions may be" in seen.json["error"]["message"]
    assert seen.json["request_id"] == seen.headers["x-request-id"]


@pytest.mark.parametrize(
    ("spoken", "path", "said"),
    [
        ("responses", "/v1/messages", "OpenAI's Responses API may be."),
        ("messages,responses", "/v1/chat/completions", "Anthropic's Messages and OpenAI's Responses API may be."),
        ("messages,embeddings", "/v1/responses", "Anthropic's Messages may be."),
        ("embeddings", "/v1/responses", "is not spoken by this gateway's upstream."),
    ],
)
async def test_what_is_spoken_is_named_where_chat_completions_are_not(served, settings, spoken, path, said):
    client = await served(replace(settings, upstream_dialects=spoken))
    asked = {"model": "m", "max_tokens": 9, "input": "hi", "messages": [{"role": "user", "content": "hi"}]}
    seen = await client.post(path, asked)
    message = seen.json["error"]["message"]
    assert (seen.status, message.endswith(said), "completions" in message.split(". ", 1)[-1]) == (404, True, False)


async def test_the_gateways_address_leads_to_the_page(served):
    seen = await (await served()).send("GET", "/", host="elsewhere.example")
    assert (seen.status, seen.headers["location"]) == (307, "/dashboard")
