"""`auto` and its relatives through the face: which model answers, why, and what happens when one fails."""

import asyncio
import json
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway

EASY = "hi, what is 2 + 2?"


def model(name, tier, served, **fields):
    return {"name": name, "tier": tier, "model": served, "window": 8000, "output_limit": 1000} | fields


FAST = model("fast", "fast", "sim-t0-i0-n4")
STRONG = model("strong", "quality", "sim-t0-i0-n8")


@pytest.fixture
def routed(served, settings):
    async def serve(*models, aliases=None, **fields):
        text = json.dumps({"models": list(models), **({"aliases": aliases} if aliases else {})})
        return await served(gateway=gateway(replace(settings, catalogue=text, upstream_retries=0, **fields)))

    return serve


async def test_auto_chooses_and_says_why(routed):
    client = await routed(FAST, STRONG)
    seen = await client.chat(EASY, model="auto", x_subsecond_trace="1")
    assert seen.status == 200
    route = seen.json["subsecond"]["route"]
    assert route["model"] in ("fast", "strong")
    assert route["reasons"]
    assert route["model"] in seen.headers["x-subsecond-route"]
    assert [attempt["outcome"] for attempt in seen.json["subsecond"]["attempts"]] == ["answered"]


@pytest.mark.parametrize(("asked", "tokens"), [("fast", 4), ("strong", 8), ("auto:fast", 4), ("auto:quality", 8)])
async def test_a_name_is_obeyed_and_so_is_a_tier(routed, asked, tokens):
    client = await routed(FAST, STRONG)
    seen = await client.chat(EASY, model=asked)
    assert seen.json["usage"]["completion_tokens"] == tokens


async def test_a_judge_may_send_a_fast_answer_back(routed):
    """The simulator's judge says neither yes nor no, and only yes will do."""
    asked = {"speculate": True, "speculation_stagger": 5.0}
    fields = {"model": "auto", "subsecond": {"quality": 1}, "x_subsecond_trace": "1"}
    trusting = await routed(FAST, STRONG, **asked)
    assert (await trusting.chat(EASY, **fields)).json["subsecond"]["speculation"]["accepted"] is True
    strict = await routed(FAST, STRONG, **asked, speculation_judge="fast")
    seen = (await strict.chat(EASY, **fields)).json["subsecond"]
    assert seen["speculation"]["refused"] == "the judge says no"
    assert [one["kind"] for one in seen["attempts"]] == ["fast", "judge", "strong"]
    with pytest.raises(ValueError, match="SPECULATION_JUDGE='nobody'"):
        await routed(FAST, STRONG, **asked, speculation_judge="nobody")


@pytest.mark.parametrize("kind", [["image_url"], {}, 5, None])
async def test_a_part_of_no_known_type_is_no_image(routed, kind):
    client = await routed(FAST, STRONG)
    seen = await client.post(
        "/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": [{"type": kind}]}]}
    )
    assert seen.status in (200, 400)


async def test_what_the_client_got_wrong_is_no_failure_of_the_model(routed):
    client = await routed(model("only", "fast", "sim-t0-i0-n4-fstatus400"))
    assert (await client.chat(model="only")).status == 400
    stats = (await client.send("GET", "/v1/cache/stats")).json
    assert stats["models"]["only"]["calls"] == {"answered": 0, "failed": 0, "refused": 1, "cancelled": 0}


async def test_a_model_that_there_is_not_is_not_explained_either(routed):
    client = await routed(FAST, STRONG)
    question = {"model": "fats", "messages": [{"role": "user", "content": EASY}]}
    seen = await client.post("/v1/cache/explain", question)
    assert (seen.status, seen.json["error"]["code"]) == (404, "model_not_found")
    assert "fast" in seen.json["error"]["message"]
    assert {one["id"] for one in (await client.send("GET", "/v1/models")).json["data"]} > {"auto", "fast", "strong"}
    assert (await client.send("GET", "/v1/models/auto:fast")).json["id"] == "auto:fast"


@pytest.mark.parametrize("quality", [0, 1])
async def test_the_dial_turns_from_the_fast_model_to_the_strong_one(routed, quality):
    client = await routed(FAST, STRONG)
    seen = await client.chat(EASY, model="auto", subsecond={"quality": quality})
    assert seen.json["usage"]["completion_tokens"] == (8 if quality else 4)


async def test_a_fast_answer_is_not_served_to_who_asks_for_the_quality_tier(routed):
    client = await routed(FAST, STRONG)
    await client.chat(EASY, model="auto", subsecond={"quality": 0})
    seen = await client.chat(EASY, model="auto", subsecond={"quality": 0, "floor": "quality"})
    assert seen.headers["cache-status"] == "subsecond; fwd=miss"
    assert seen.json["usage"]["completion_tokens"] == 8


async def test_the_same_question_to_auto_again_is_a_hit(routed):
    client = await routed(FAST, STRONG)
    await client.chat(EASY, model="auto")
    seen = await client.chat(EASY, model="auto")
    assert seen.headers["cache-status"].startswith("subsecond; hit")
    assert "x-subsecond-route" not in seen.headers


async def test_an_unknown_name_is_openais_404_with_the_nearest_ones(routed):
    client = await routed(FAST, STRONG)
    seen = await client.chat(EASY, model="stronk")
    assert (seen.status, seen.json["error"]["code"]) == (404, "model_not_found")
    assert "strong" in seen.json["error"]["message"]


async def test_nothing_that_can_do_it_is_a_503_and_no_silent_step(routed):
    client = await routed(FAST, STRONG)
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    seen = await client.chat(EASY, model="auto", tools=tools)
    assert (seen.status, seen.json["error"]["code"]) == (503, "no_model_fits")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_fails_before_its_first_byte_is_left_for_its_fallback(routed, stream):
    broken = model("broken", "fast", "sim-t0-i0-n4-fstatus503", fallbacks=["strong"])
    client = await routed(broken, STRONG)
    seen = await client.chat(EASY, model="broken", stream=stream, x_subsecond_trace="1")
    assert seen.status == 200
    trace = (seen.chunks[-1] if stream else seen.json)["subsecond"]
    assert [(one["model"], one["kind"]) for one in trace["attempts"]] == [("broken", "first"), ("strong", "fallback")]
    assert trace["model"] == "strong"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_route_names_the_model_that_answers_and_what_became_of_the_others(routed, stream):
    broken = model("broken", "fast", "sim-t0-i0-n4-fstatus503", fallbacks=["strong"])
    client = await routed(broken, STRONG)
    seen = await client.chat(EASY, model="broken", stream=stream)
    line = seen.headers["x-subsecond-route"]
    assert line == "strong; in place of broken (503 UpstreamError); asked for by name"


async def test_a_route_that_ended_in_an_error_is_told_too(routed):
    broken = model("broken", "fast", "sim-t0-i0-n4-fstatus503", fallbacks=["torn"])
    torn = model("torn", "fast", "sim-t0-i0-n8-ftruncate3")
    client = await routed(broken, torn)
    seen = await client.chat(EASY, model="broken")
    assert seen.status == 502
    line = seen.headers["x-subsecond-route"]
    assert line.startswith("none; tried broken (503 UpstreamError), torn (502 UpstreamUnreachable); ")
    refused = model("refused", "fast", "sim-t0-i0-n4-fstatus400")
    seen = await (await routed(refused)).chat(EASY, model="refused", stream=True)
    assert (seen.status, seen.headers["x-subsecond-route"].partition(";")[0]) == (400, "none")


async def test_who_joins_a_call_is_told_the_route_that_it_took(routed):
    client = await routed(model("slow", "fast", "sim-t300-i0-n4"))
    both = await asyncio.gather(*(client.chat(EASY, model="slow") for _ in range(2)))
    assert sorted(seen.headers["cache-status"] for seen in both) == [
        "subsecond; fwd=miss",
        "subsecond; fwd=miss; collapsed",
    ]
    assert {seen.headers["x-subsecond-route"] for seen in both} == {"slow; asked for by name"}


async def test_a_fast_answer_that_stands_in_for_the_strong_model_is_named_as_such(routed):
    client = await routed(FAST, STRONG, speculate=True, speculation_stagger=5.0)
    seen = await client.chat(EASY, model="auto", subsecond={"quality": 1})
    assert seen.headers["x-subsecond-route"].startswith("fast; in place of strong (not asked); auto -> quality")


async def test_a_whole_reply_that_breaks_off_is_another_models_to_give(routed):
    torn = model("torn", "fast", "sim-t0-i0-n8-ftruncate3", fallbacks=["strong"])
    client = await routed(torn, STRONG)
    seen = await client.chat(EASY, model="torn")
    assert (seen.status, seen.json["usage"]["completion_tokens"]) == (200, 8)
    assert seen.headers["x-subsecond-route"].startswith("strong; in place of torn (502 UpstreamUnreachable); ")


async def test_a_model_that_breaks_off_in_its_answer_is_not_mixed_with_another(routed):
    torn = model("torn", "fast", "sim-t0-i0-n8-ftruncate3", fallbacks=["strong"])
    client = await routed(torn, STRONG)
    seen = await client.chat(EASY, model="torn", stream=True)
    assert not seen.done
    assert "error" in seen.chunks[-1]


async def test_a_request_at_fault_is_not_tried_elsewhere(routed):
    refused = model("refused", "fast", "sim-t0-i0-n4-fstatus400", fallbacks=["strong"])
    client = await routed(refused, STRONG)
    assert (await client.chat(EASY, model="refused")).status == 400


@pytest.mark.parametrize("stream", [False, True])
async def test_a_slow_deployment_is_hedged_by_its_equal(routed, stream):
    slow = model("slow", "fast", "sim-t5000-i0-n4", group="g", ttft_ms=50, tokens_per_second=5_000)
    quick = model("quick", "fast", "sim-t0-i0-n4-b", group="g", ttft_ms=60)
    client = await routed(slow, quick, hedge_share=0.5, hedge_allowance=5.0)
    seen = await client.chat(EASY, model="slow", stream=stream, x_subsecond_trace="1")
    assert seen.headers["x-subsecond-route"].startswith("quick; in place of slow (cancelled); ")
    trace = (seen.chunks[-1] if stream else seen.json)["subsecond"]
    kinds = {one["model"]: (one["kind"], one["outcome"]) for one in trace["attempts"]}
    assert kinds == {"slow": ("first", "cancelled"), "quick": ("hedge", "answered")}


async def test_the_catalogue_is_what_models_lists(routed):
    client = await routed(FAST, STRONG, aliases={"thrifty": {"quality": 0.1}})
    seen = await client.send("GET", "/v1/models")
    names = [one["id"] for one in seen.json["data"]]
    assert names[0] == "auto"
    assert {"fast", "strong", "thrifty", "auto:quality"} <= set(names)


async def test_the_window_of_the_chosen_model_bounds_the_prompt(routed):
    small = model("small", "fast", "sim-t0-i0-n4", window=300, output_limit=50)
    client = await routed(small)
    seen = await client.chat("word " * 2000, model="small", x_subsecond_optimise="fit")
    assert (seen.status, seen.json["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("catalogue", ['{"models": [{"name": "m"}]}', "{", "file:/none"])
def test_a_catalogue_that_makes_no_sense_ends_the_start_with_a_word(settings, catalogue):
    with pytest.raises(ValueError, match="SUBSECOND_CATALOGUE"):
        gateway(replace(settings, catalogue=catalogue))
