"""The face over a real socket: shapes, cache words, errors."""

import json
from dataclasses import replace

import pytest

from subsecond.config import Settings
from tests.support.simulator import SimulatorProcess


async def test_a_stream_then_a_hit_of_the_same_chunks(served):
    client = await served()
    first = await client.chat(stream=True, stream_options={"include_usage": True})
    again = await client.chat(stream=True, stream_options={"include_usage": True})
    assert first.status == again.status == 200
    assert first.done
    assert again.done
    assert first.headers["cache-status"] == "subsecond; fwd=miss"
    assert again.headers["cache-status"].startswith("subsecond; hit; ttl=")
    assert again.headers["cache-status"].endswith("; detail=exact")
    assert "age" in again.headers
    assert "age" not in first.headers
    assert first.text == again.text != ""
    assert len(again.chunks) == len(first.chunks) > 3
    assert {chunk["id"] for chunk in first.chunks} == {chunk["id"] for chunk in again.chunks}
    assert first.chunks[-1]["usage"] == again.chunks[-1]["usage"]


async def test_an_answer_asked_whole_is_replayed_as_a_stream_and_back(served):
    client = await served()
    whole = await client.chat("one")
    streamed = await client.chat("one", stream=True)
    assert "hit" in streamed.headers["cache-status"]
    assert streamed.text == whole.json["choices"][0]["message"]["content"]
    streamed = await client.chat("two", stream=True)
    whole = await client.chat("two")
    assert "hit" in whole.headers["cache-status"]
    assert whole.json["choices"][0]["message"]["content"] == streamed.text


async def test_usage_comes_only_when_asked_for(served):
    client = await served()
    for _ in ("miss", "hit"):
        plain = await client.chat(stream=True)
        assert all(chunk["choices"] for chunk in plain.chunks)
        asked = await client.chat("other", stream=True, stream_options={"include_usage": True})
        assert asked.chunks[-1]["choices"] == []
        assert asked.chunks[-1]["usage"]["total_tokens"] > 0
        for chunk in (*plain.chunks, *asked.chunks[:-1]):
            assert chunk["usage"] is None  # the server's own word, as it came


async def test_tool_calls_are_stored_and_replayed(served):
    client = await served()
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    seen = [await client.chat(tools=tools, tool_choice="required", stream=stream) for stream in (False, True, False)]
    assert [answer.headers["cache-status"].split(";")[1].strip() for answer in seen] == ["fwd=miss", "hit", "hit"]
    assert seen[0].json["choices"] == seen[2].json["choices"]
    assert seen[0].json["choices"][0]["finish_reason"] == "tool_calls"
    deltas = [choice["delta"] for chunk in seen[1].chunks for choice in chunk["choices"]]
    call = next(delta["tool_calls"][0] for delta in deltas if delta.get("tool_calls"))
    assert call["index"] == 0
    assert call["function"]["name"] == "look_up"


async def test_cache_control_is_obeyed(served):
    client = await served()

    async def kind(**words):
        return (await client.chat(**words)).headers.get("cache-status", "").split("; ")[1]

    assert await kind(cache_control="no-store") == "fwd=miss"
    assert await kind() == "fwd=miss"
    assert await kind() == "hit"
    assert await kind(cache_control="no-cache") == "fwd=bypass"
    assert await kind(use_cache=False) == "fwd=bypass"
    assert await kind(cache_control="max-age=60") == "hit"
    assert await kind(cache_control="Max-Age=0, x=1") == "fwd=miss"
    missing = await client.chat("never asked", cache_control="only-if-cached")
    assert missing.status == 504
    assert missing.json["error"]["code"] == "not_cached"
    assert (await client.chat(cache_control="only-if-cached")).status == 200
    assert (await client.chat(cache_control="max-age=soon")).status == 400


@pytest.fixture(scope="module")
def server():
    with SimulatorProcess(key="sk-up") as process:
        yield process


@pytest.fixture
async def once_asked(served, settings, server):
    """The gateway before a server on a socket, where an answer's end can be seen; it asks once for each call."""
    there = replace(settings, upstream="openai", upstream_url=server.base_url, upstream_key=server.key)
    return await served(replace(there, upstream_retries=0))


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", ["fstatus500", "ftruncate2", "ferrorevent2"])
async def test_what_fails_is_told_and_not_stored(once_asked, fault, stream):
    for _ in range(2):
        seen = await once_asked.chat(model=f"sim-t0-i0-n8-{fault}", stream=stream)
        assert "hit" not in seen.headers.get("cache-status", "")
        assert not seen.done
        assert "error" in (seen.chunks[-1] if seen.status == 200 else seen.json)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "finish"), [("ffilter", "content_filter"), ("fempty", "stop")])
async def test_what_is_cut_or_empty_is_served_and_not_stored(once_asked, fault, finish, stream):
    for _ in range(2):
        seen = await once_asked.chat(model=f"sim-t0-i0-n8-{fault}", stream=stream)
        assert (seen.status, seen.headers["cache-status"]) == (200, "subsecond; fwd=miss")
        assert seen.done == stream
        last = seen.chunks[-1] if stream else seen.json
        assert last["choices"][0]["finish_reason"] == finish


async def test_a_malformed_event_passes_as_it_came_and_is_not_stored(once_asked):
    for _ in range(2):
        seen = await once_asked.chat(model="sim-t0-i0-n8-fmalformed2", stream=True)
        assert (seen.status, seen.headers["cache-status"]) == (200, "subsecond; fwd=miss")
        assert b'{"choices":[{"delta":{"content":"cut' in seen.lines
        assert seen.done
        whole = await once_asked.chat(model="sim-t0-i0-n8-fmalformed2")
        assert (whole.status, whole.json["error"]["code"]) == (502, "upstream_unreachable")


async def test_a_stream_that_ends_cleanly_is_complete_without_its_last_word(once_asked):
    first, again = [await once_asked.chat(model="sim-t0-i0-n8-fnodone", stream=True) for _ in range(2)]
    assert (first.status, first.headers["cache-status"]) == (200, "subsecond; fwd=miss")
    assert again.headers["cache-status"].startswith("subsecond; hit")
    assert first.done
    assert first.lines == again.lines


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'"x"', None),
        (b"", None),
        (b'{"model": "m", "messages": [{"role": "user", "content": "\xff"}]}', None),
        (b'{"model": "m", "temperature": NaN, "messages": []}', None),
        (b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}', None),
        (b'{"model": "m", "messages": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", None),
        (b'{"model": "m", "messages": [{"role": "user"}], "x": ' + b'{"a":' * 150 + b"1" + b"}" * 151, None),
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "hi"}, "messages"),
        ({"model": "m", "messages": [{"content": "x"}]}, "messages.0.role"),
        ({"model": "m", "messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"model": 5, "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}, "stream"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 0}, "n"),
        ({"model": "m", "messages": [{"role": "user", "content": "x"}], "max_latency_ms": -1}, "max_latency_ms"),
    ],
    ids=str,
)
async def test_a_bad_body_is_a_400_that_names_the_field(served, body, param):
    client = await served()
    seen = await client.post("/v1/chat/completions", body)
    assert seen.status == 400
    assert set(seen.json["error"]) == {"message", "type", "param", "code"}
    assert seen.json["error"]["type"] == "invalid_request_error"
    assert seen.json["error"]["param"] == param
    assert (await client.chat()).status == 200


async def test_too_large_a_body_is_a_413(served):
    client = await served()
    seen = await client.chat("x" * 10_000_000)
    assert seen.status == 413
    assert seen.json["error"]["code"] == "request_too_large"
    assert (await client.chat()).status == 200


async def test_lone_surrogates_are_answered(served):
    client = await served()
    body = b'{"model": "sim-t0-i0-n4", "messages": [{"role": "user", "content": "\\ud800 half"}]}'
    for _ in range(2):
        assert (await client.post("/v1/chat/completions", body)).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/completions/batch", "/v1/embeddings"])
@pytest.mark.parametrize("key", ["sk-other", "\u00e9\u00ff"])
async def test_without_a_good_key_nothing_is_read(served, path, key):
    client = await served()
    seen = await client.post(path, b"{ not even json", key=key)
    assert seen.status == 401
    assert seen.json["error"]["code"] == "invalid_api_key"
    assert seen.headers["www-authenticate"] == "Bearer"


async def test_reading_paths_need_a_key_too_and_health_does_not(served):
    client = await served()
    for path in ("/v1/models", "/v1/cache/stats"):
        assert (await client.send("GET", path, key="wrong")).status == 401
        assert (await client.send("GET", path)).status == 200
    assert (await client.send("GET", "/health", key="wrong")).json == {"status": "healthy"}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/realtime"), ("PUT", "/elsewhere"), ("GET", "/docs"), ("GET", "/v1/x")]
)
async def test_what_is_not_served_is_a_404_that_says_what_is(served, method, path):
    client = await served()
    seen = await client.send(method, path)
    assert seen.status == 404
    assert "/v1/chat/completions" in seen.json["error"]["message"]
    wrong = await client.send("GET", "/v1/chat/completions")
    assert (wrong.status, wrong.json["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    assert seen.headers["x-request-id"] != wrong.headers["x-request-id"]


async def test_an_error_does_not_repeat_a_long_path_and_none_is_redirected(served):
    client = await served()
    seen = await client.send("GET", "/" + "x" * 5_000)
    assert (seen.status, len(seen.body) < 1_000) == (404, True)
    assert (await client.send("GET", "/health/")).status == 404


async def test_one_model_can_be_asked_for(served):
    client = await served()
    listed = (await client.send("GET", "/v1/models")).json["data"]
    assert (await client.send("GET", f"/v1/models/{listed[0]['id']}")).json == listed[0]
    missing = await client.send("GET", "/v1/models/nobody/at-home")
    assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
    assert (await client.send("GET", f"/v1/models/{listed[0]['id']}", key="wrong")).status == 401


async def test_upstream_errors_keep_their_status_and_words(served):
    client = await served(Settings(upstream="subsecond_local.simulator.adapter", api_key="sk-test"))
    missing = await client.chat(model="nobody")
    assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
    busy = await client.chat(model="sim-t0-i0-n8-fstatus429-fafter7")
    assert (busy.status, busy.headers["retry-after"]) == (429, "7")


async def test_a_spent_latency_budget_is_a_504(served):
    client = await served()
    seen = await client.chat(model="sim-t5000-i0-n8", max_latency_ms=30)
    assert (seen.status, seen.json["error"]["code"]) == (504, "deadline_exceeded")
    assert (await client.chat("hit me")).status == 200
    assert (await client.chat("hit me", max_latency_ms=10_000)).headers["cache-status"].startswith("subsecond; hit")


async def test_every_reply_carries_its_id_and_its_timing(served):
    client = await served()
    seen = await client.chat()
    assert seen.headers["x-request-id"].startswith("req_")
    steps = [part.split(";")[0] for part in seen.headers["server-timing"].split(", ")]
    assert steps == ["authenticate", "parse", "prepare", "exact", "embed", "semantic", "flight", "optimise", "upstream"]


async def test_the_trace_comes_when_asked_for(served):
    client = await served()
    whole = await client.chat(x_subsecond_trace="1")
    assert whole.json["subsecond"]["source"] == "upstream"
    streamed = await client.chat(stream=True, x_subsecond_trace="1")
    assert streamed.chunks[-1]["choices"] == []
    assert streamed.chunks[-1]["subsecond"]["source"] == "exact"
    assert streamed.done
    assert "subsecond" not in (await client.chat()).json


async def test_sentences_can_be_asked_for(served):
    client = await served()
    for _ in ("miss", "hit"):
        tokens = await client.chat("tell me", model="sim-t0-i0-n40", stream=True)
        sentences = await client.chat("tell me", model="sim-t0-i0-n40", stream=True, x_subsecond_granularity="sentence")
        assert sentences.text == tokens.text
        assert sentences.done
        assert len(sentences.chunks) < len(tokens.chunks)
        assert sentences.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (await client.chat(stream=True, x_subsecond_granularity="word")).status == 400


async def test_the_plain_completion_carries_both_shapes(served):
    client = await served()
    first = await client.post("/v1/completions", {"prompt": "Hi"})
    again = await client.post("/v1/completions", {"prompt": "Hi", "use_cache": True, "stream": False})
    assert first.json["object"] == "text_completion"
    assert first.json["response"] == first.json["choices"][0]["text"] == again.json["response"]
    assert (first.json["cached"], first.json["cache_type"]) == (False, None)
    assert (again.json["cached"], again.json["cache_type"]) == (True, "exact")
    assert again.json["latency_ms"] >= 0
    unread = await client.post("/v1/completions", {"prompt": "Hi", "use_cache": False})
    assert unread.json["cached"] is False


async def test_the_plain_stream_is_openais(served):
    client = await served()
    for path, extra in (("/v1/completions/stream", {}), ("/v1/completions", {"stream": True})):
        seen = await client.post(path, {"prompt": "Hi", **extra})
        assert seen.headers["content-type"].startswith("text/event-stream")
        assert seen.done
        assert {chunk["object"] for chunk in seen.chunks} == {"text_completion"}
        assert len(seen.chunks) > 2


async def test_a_list_of_prompts_is_answered_in_order(served):
    client = await served()
    alone = [(await client.post("/v1/completions", {"prompt": prompt})).json["response"] for prompt in ("a", "b")]
    body = {"prompt": ["b", "c", "a"], "n": 1}
    whole = await client.post("/v1/completions", {"prompt": ["b", "c", "a"]})
    assert [choice["index"] for choice in whole.json["choices"]] == [0, 1, 2]
    texts = [choice["text"] for choice in whole.json["choices"]]
    assert [texts[2], texts[0]] == alone
    assert whole.json["usage"]["total_tokens"] > 0
    streamed = await client.post("/v1/completions", {**body, "stream": True, "stream_options": {"include_usage": True}})
    assert streamed.done
    assert len({chunk["id"] for chunk in streamed.chunks}) == 1
    assert {choice["index"] for chunk in streamed.chunks for choice in chunk["choices"]} == {0, 1, 2}
    assert "usage" in streamed.chunks[-1]


async def test_a_batch_answers_in_order_and_one_failure_stays_alone(served):
    client = await served()
    body = {"model": "sim-t0-i0-n8", "prompts": ["a", "b", "a"]}
    seen = (await client.post("/v1/completions/batch", body)).json
    assert seen["count"] == len(seen["responses"]) == 3
    assert seen["responses"][0] == seen["responses"][2] != seen["responses"][1]
    assert seen["errors"] == []
    assert seen["latency_ms"] >= 0
    for prompts in ([], "x", ["a"] * 65, [1]):
        assert (await client.post("/v1/completions/batch", {**body, "prompts": prompts})).status == 400
    failing = (
        await client.post("/v1/completions/batch", {"model": "sim-t0-i0-n8-fstatus400-fonce", "prompts": ["a", "b"]})
    ).json
    assert sorted(text is None for text in failing["responses"]) == [False, True]
    assert len(failing["errors"]) == 1


async def test_embeddings_and_models_are_passed_through(served):
    client = await served()
    vectors = (await client.post("/v1/embeddings", {"model": "sim-t0-i0-n1", "input": ["a", "b"]})).json
    assert [item["index"] for item in vectors["data"]] == [0, 1]
    assert (await client.post("/v1/embeddings", {"model": "sim-t0-i0-n1"})).json["error"]["param"] == "input"
    assert (await client.send("GET", "/v1/models")).json["object"] == "list"


async def test_the_statistics_count_what_happened(served):
    client = await served()
    for text in ("a", "a", "b"):
        await client.chat(text)
    stats = (await client.send("GET", "/v1/cache/stats")).json
    assert stats["hits"]["exact"] == 1
    assert stats["misses"] == 2
    assert stats["hit_rate"] == pytest.approx(1 / 3, abs=0.001)
    assert stats["exact_cache_size"] == 2
    assert stats["semantic_cache_size"] == 2
    json.dumps(stats)
