"""Responses through the gateway: as asked, as answered, and from the cache as chat completions are."""

import asyncio
import json

import pytest

from tests.support.http import PATIENCE
from tests.support.responses import function_call, message, named, payloads, response, stream
from tests.support.wires import head, whole

PATH = "/v1/responses"
HIT = "; hit"


def good(body, nth):
    answer = response(message(f"Answer {nth}."), id=f"resp_{nth}")
    return [stream(*payloads(answer))] if body.get("stream") else [whole(answer)]


async def ask(client, text="Who?", **fields):
    headers = {
        name: fields.pop(name) for name in [n for n in fields if n.startswith(("x_", "cache_control", "openai"))]
    }
    return await client.post(PATH, {"model": "m", "input": text, "store": False, **fields}, **headers)


def hit(seen):
    return HIT in seen.headers["cache-status"]


def told(seen):
    """The events on the wire: their names and what they hold."""
    blocks = [block.split(b"\n") for block in seen.body.split(b"\n\n") if block]
    return [
        (block[0].removeprefix(b"event: ").decode(), json.loads(block[1].removeprefix(b"data: "))) for block in blocks
    ]


def text_of(seen, form):
    if form == "whole":
        return seen.json["output"][0]["content"][0]["text"]
    return "".join(one["delta"] for _, one in told(seen) if one["type"] == "response.output_text.delta")


async def test_a_request_goes_out_in_its_own_bytes_and_a_reply_comes_back_in_its_own(relaying):
    answer = json.dumps(response(), indent=1).encode()
    client, server = await relaying(lambda *_: [whole(answer)])
    raw = b'{ "input":"h\\u00e9", "store": false,\n "model" : "m", "new": [1.0] }'
    seen = await client.post(PATH, raw)
    assert (server.requests, server.paths) == ([raw], ["/v1/responses"])
    assert (seen.status, seen.body) == (200, answer)


async def test_a_stream_comes_back_event_by_event_under_its_names_and_has_no_done(relaying):
    client, server = await relaying(good)
    seen = await ask(client, stream=True, stream_options={"include_obfuscation": False})
    assert seen.body == b"".join(map(named, payloads(response(message("Answer 1."), id="resp_1"))))
    assert server.bodies[0]["stream_options"] == {"include_obfuscation": False}


@pytest.mark.parametrize("first", ["whole", "stream"])
@pytest.mark.parametrize("then", ["whole", "stream"])
async def test_a_repeat_is_answered_from_the_cache_in_either_form_with_an_id_of_its_own(relaying, first, then):
    client, server = await relaying(good)
    one = await ask(client, stream=first == "stream")
    two = await ask(client, stream=then == "stream")
    assert (one.status, two.status, len(server.requests)) == (200, 200, 1)
    assert (hit(one), hit(two)) == (False, True)
    assert text_of(one, first) == text_of(two, then) == "Answer 1."
    assert b'"resp_1"' in one.body
    assert b'"resp_1"' not in two.body
    if first == then:  # all but the id is the same, byte for byte
        new = (two.json if then == "whole" else told(two)[0][1]["response"])["id"]
        assert two.body.replace(f'"{new}"'.encode(), b'"resp_1"') == one.body
    elif then == "stream":
        assert [name for name, _ in told(two)] == [event["type"] for _, event in told(two)]


@pytest.mark.parametrize(
    "fields",
    [{"store": True}, {"store": None}, {"background": True}, {"conversation": "conv_1"}, {"prompt": {"id": "p"}}],
)
async def test_what_makes_or_names_state_is_passed_and_never_answered_from_the_cache(relaying, fields):
    client, server = await relaying(good)
    seen = [await ask(client, **fields) for _ in range(2)]
    assert [one.status for one in seen] == [200, 200]
    assert [one.headers["cache-status"] for one in seen] == ["subsecond; fwd=bypass"] * 2
    assert [body.items() >= fields.items() for body in server.bodies] == [True, True]
    nothing = await ask(client, cache_control="only-if-cached", **fields)
    assert (nothing.status, len(server.requests)) == (504, 2)


async def test_objects_that_nobody_needs_do_not_keep_a_request_from_the_cache(relaying):
    client, server = await relaying(good, responses_state="ignore")
    seen = [await client.post(PATH, {"model": "m", "input": "Who?"}) for _ in range(2)]
    assert (hit(seen[1]), len(server.requests)) == (True, 1)
    assert seen[0].json["id"] != seen[1].json["id"]
    for _ in range(2):
        await ask(client, conversation="conv_1")
    assert len(server.requests) == 3


async def test_who_joins_a_call_in_flight_gets_an_id_of_their_own(relaying):
    going = asyncio.Event()
    said = [named(one) for one in payloads(response(message("Answer."), id="resp_1"))]
    client, server = await relaying(lambda *_: [head() + b"".join(said[:3]), going, b"".join(said[3:])])
    asked = [asyncio.create_task(ask(client, stream=True))]
    # A stream leads: it would join no whole call.
    await client.watched(1)
    asked += [asyncio.create_task(ask(client, **fields)) for fields in ({"stream": True}, {})]
    await client.watched(3)
    going.set()
    seen = await asyncio.gather(*asked)
    ids = [told(one)[-1][1]["response"]["id"] for one in seen[:2]] + [seen[2].json["id"]]
    assert (len(server.requests), len(set(ids)), ids.count("resp_1")) == (1, 3, 1)
    assert {text_of(one, form) for one, form in zip(seen, ("stream", "stream", "whole"), strict=True)} == {"Answer."}
    for one in seen[:2]:  # one id in one stream
        ids = {event["response"]["id"] for _, event in told(one) if "response" in event}
        assert len(ids) == 1


async def test_a_similar_question_is_answered_within_its_scope(relaying):
    client, server = await relaying(good, semantic="guarded")
    await ask(client, "How do I reset my password?")
    seen = await ask(client, "How can I reset my password?")
    other = await ask(client, "How can I reset my password?", instructions="Answer in German.")
    assert "detail=semantic" in seen.headers["cache-status"]
    assert (seen.json["output"], len(server.requests)) == (response(message("Answer 1."))["output"], 2)
    assert not hit(other)


async def test_calls_of_tools_are_kept_for_the_very_same_request_alone(relaying):
    client, server = await relaying(lambda *_: [whole(response(function_call(at=1), function_call(at=2)))])
    tools = [{"type": "function", "name": "look_up", "parameters": {"type": "object"}}]
    seen = [await ask(client, tools=tools) for _ in range(2)]
    assert (hit(seen[1]), len(server.requests)) == (True, 1)
    assert [one["call_id"] for one in seen[1].json["output"]] == ["call_1", "call_2"]


@pytest.mark.parametrize("form", [False, True])
async def test_what_did_not_end_well_is_served_and_not_kept(relaying, form):
    cut = response(status="incomplete", incomplete_details={"reason": "content_filter"})
    client, server = await relaying(lambda *_: [stream(*payloads(cut)) if form else whole(cut)])
    seen = [await ask(client, stream=form) for _ in range(2)]
    assert ([one.status for one in seen], len(server.requests)) == ([200, 200], 2)


# Errors


async def test_a_refusal_has_its_status_words_and_headers(relaying):
    said = {"error": {"message": "No such tool.", "type": "invalid_request_error", "param": "tools", "code": None}}
    client, _ = await relaying(lambda *_: [whole(said, 400, "x-ratelimit-remaining-requests: 7")])
    seen = await ask(client)
    assert (seen.status, seen.json) == (400, said)
    assert seen.headers["x-ratelimit-remaining-requests"] == "7"


@pytest.mark.parametrize("form", [False, True])
@pytest.mark.parametrize("said", [{"error": {"code": "server_error", "message": "Oh."}, "status": "failed"}, {}])
async def test_a_failed_response_and_no_response_are_errors(relaying, form, said):
    client, _ = await relaying(lambda *_: [whole({"object": "response", "output": [], **said} if said else {"a": 1})])
    seen = await ask(client, stream=form)
    assert seen.status == (500 if said else 502)
    assert seen.json["error"]["message"]


async def test_a_failure_in_a_stream_is_told_as_it_came_and_not_kept(relaying):
    begun = payloads(response())[:3]
    failed = {
        "type": "response.failed",
        "response": {"id": "resp_1", "error": {"code": "server_error", "message": "Oh"}},
    }
    client, server = await relaying(lambda *_: [stream(*begun, json.dumps(failed).encode())])
    seen = await ask(client, stream=True)
    assert told(seen)[-1] == ("response.failed", failed)
    await ask(client, stream=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize("end", ["content-length: 9999", "connection: close"], ids=["cut", "without its last event"])
async def test_a_stream_that_breaks_off_ends_in_an_error_event_of_the_dialect(relaying, end):
    begun = b"".join(map(named, payloads(response())[:3]))
    client, _ = await relaying(lambda *_: [head(200, "text/event-stream", end) + begun])
    (name, event), (last, failed) = told(await ask(client, stream=True))[-2:]
    assert (name, event["type"], event["sequence_number"]) == ("error", "error", 3)
    assert event["code"] == "upstream_broke_off"
    assert (last, failed["type"], failed["sequence_number"]) == ("response.failed", "response.failed", 4)
    assert {name: failed["response"][name] for name in ("id", "status")} == {"id": "resp_1", "status": "failed"}


async def test_an_event_that_cannot_be_read_ends_the_stream_in_an_error(relaying):
    said = [named(one) for one in payloads(response())]
    cut = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","del\n\n'
    client, server = await relaying(lambda *_: [head() + b"".join([*said[:3], cut, *said[3:]])])
    seen = [await ask(client, stream=True) for _ in range(2)]
    assert [told(one)[-2][1]["code"] for one in seen] == ["upstream_broke_off"] * 2
    assert len(server.requests) == 2


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_server_that_answers_in_the_other_form_is_told_in_the_asked_one(relaying, streamed):
    client, _ = await relaying(lambda *_: [whole(response()) if streamed else stream(*payloads(response()))])
    seen = await ask(client, stream=streamed)
    assert text_of(seen, "stream" if streamed else "whole") == "Good."
    if streamed:
        assert [event["type"] for _, event in told(seen)][-1] == "response.completed"
    else:
        assert seen.json == response()


# The face


async def test_the_headers_of_the_dialect_are_passed_on_and_count(relaying):
    client, server = await relaying(good)
    seen = [await ask(client, openai_beta=beta) for beta in ("one=v1", "one=v1", "one=v2")]
    assert [hit(one) for one in seen] == [False, True, False]
    assert [b"openai-beta: one=v%d\r\n" % (nth + 1) in head for nth, head in enumerate(server.heads)] == [True, True]
    chat = await client.chat(openai_beta="one=v1")
    assert (chat.status, b"openai-beta" in server.heads[-1]) == (502, False)


async def test_a_header_in_several_lines_is_passed_on_whole(relaying):
    """They are one list (RFC 9110, section 5.3), and each of it may change the answer."""
    client, server = await relaying(good)

    async def ask(*betas):
        lines = [("authorization", f"Bearer {client.key}"), *(("openai-beta", beta) for beta in betas)]
        body = {"model": "m", "input": "Hi", "store": False}
        return await client.http.post("/v1/responses", json=body, headers=lines)

    seen = [await ask(*betas) for betas in (("one=v1",), ("one=v1", "two=v1"), ("one=v1, two=v1",))]
    assert ["; hit" in one.headers["cache-status"] for one in seen] == [False, False, True]
    assert b"openai-beta: one=v1, two=v1\r\n" in server.heads[1]


async def test_the_trace_is_an_event_of_its_own_or_a_field(relaying):
    client, _ = await relaying(good)
    name, event = told(await ask(client, stream=True, x_subsecond_trace="1"))[-1]
    assert (name, event["type"], event["sequence_number"]) == ("subsecond.trace", "subsecond.trace", 7)
    assert event["subsecond"]["source"] == "upstream"
    assert (await ask(client, x_subsecond_trace="1")).json["subsecond"]["source"] == "exact"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": "m", "input": 1}, "input"),
        ({"model": "m", "input": "x", "stream": 1}, "stream"),
    ],
)
async def test_what_is_no_request_is_refused_by_its_field(relaying, body, param):
    client, server = await relaying(good)
    seen = await client.post(PATH, body)
    assert (seen.status, seen.json["error"]["param"], server.requests) == (400, param, [])


async def test_sentences_are_refused(relaying):
    client, _ = await relaying(good)
    assert (await ask(client, stream=True, x_subsecond_granularity="sentence")).status == 400


async def test_statistics_count_the_tokens(relaying):
    client, _ = await relaying(good)
    for _ in range(2):
        await ask(client)
    stats = (await client.send("GET", "/v1/cache/stats")).json
    assert (stats["hits"]["exact"], stats["upstream_calls"]) == (1, 1)
    assert stats["models"]["m"]


async def test_a_client_that_hangs_up_ends_the_upstream_call(relaying):
    client, server = await relaying(lambda *_: [head() + b"".join(map(named, payloads(response())[:3])), server.left])
    body = {"model": "m", "input": "Who?", "store": False, "stream": True}
    headers = {"authorization": f"Bearer {client.key}"}
    async with client.http.stream("POST", PATH, json=body, headers=headers) as opened:
        async for _ in opened.aiter_bytes():
            break
    await asyncio.wait_for(server.left.wait(), PATIENCE)
    assert (await ask(client, cache_control="only-if-cached")).status == 504


# Who speaks it


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, {"detail": "Not Found"}),
        (404, b"404 page not found\n"),
        (404, b""),
        (404, b"<!doctype html><h1>Not Found: the model</h1>"),
        (
            404,
            {"error": {"message": "Unknown request URL: POST /v1/responses. Please check it.", "code": "unknown_url"}},
        ),
        (404, {"error": {"message": "Invalid URL (POST /v1/responses)", "code": None}}),
        (404, b"Cannot POST /v1/responses"),
        (404, {"message": "Route POST:/v1/responses not found", "error": "Not Found", "statusCode": 404}),
        (404, b"The requested URL was not found on the server. If you entered it by hand, check it."),
        (404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}),
        (404, {"message": "no Route matched with those values"}),
        (405, {"detail": "Method Not Allowed"}),
        (501, b""),
    ],
)
async def test_a_server_without_the_path_is_told_as_such_with_the_clients_remedy(relaying, status, said):
    client, _ = await relaying(lambda *_: [whole(said, status)])
    seen = await client.post(PATH, {"model": "m", "input": "x"}, user_agent="OpenAI/Python 3.54.0")
    assert (seen.status, seen.json["error"]["code"]) == (404, "api_not_served")
    assert "client.chat.completions.create" in seen.json["error"]["message"]
    assert seen.json["error"]["message"].startswith("OpenAI's Responses API is not spoken")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("The model `m` does not exist.", "model_not_found"),
        ("Not found.", "response_not_found"),
        ("Vector store with id 'vs_1' not found.", None),
        ("Container 'cntr_1' not found", None),
        ("No such file: file-1", None),
        ("Invalid URL https://x.example/y.png", None),
        ("The endpoint of deployment `m` is not found", None),
        ("No route found for model m", None),
        ("The fault asked for: 404.", "simulated_404"),
    ],
)
@pytest.mark.parametrize("status", [404, 405, 501])
async def test_any_other_404_keeps_its_status_and_words(relaying, words, code, status):
    said = {"error": {"message": words, "type": "invalid_request_error", "param": None, "code": code}}
    client, _ = await relaying(lambda *_: [whole(said, status)])
    seen = await ask(client)
    assert (seen.status, seen.json) == (status, said)


async def test_a_server_that_is_said_to_speak_no_responses_is_not_asked(relaying):
    client, server = await relaying(good, upstream_dialects="chat, text")
    assert ((await ask(client)).status, server.requests) == (404, [])


# Explained


async def test_a_request_is_explained_in_its_dialect(relaying):
    client, server = await relaying(good)
    await ask(client)
    body = {"model": "m", "input": "Who?"}
    seen = (await client.post("/v1/cache/explain", {**body, "store": False})).json
    assert (seen["source"], len(server.requests)) == ("exact", 1)
    kept = (await client.post("/v1/cache/explain", body)).json
    assert (kept["source"], "object" in kept["reasons"][0]) == ("upstream", True)
    chat = {"model": "m", "messages": [{"role": "user", "content": "Who?"}]}
    keys = [(await client.post(f"/v1/cache/explain?dialect={name}", chat)).json["key"] for name in ("chat", "messages")]
    assert keys[0] != keys[1]
