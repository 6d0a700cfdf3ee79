"""The prompt optimiser as a stage: what is sent changes, what is asked does not."""

import json
from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.upstreams.request_body import request_body

MODEL = "sim-t0-i0-n4"
UNTIDY = [
    {"role": "system", "content": "Be brief.   \n\n\n\n\nBe kind.  \n"},
    {"role": "user", "content": "  Hello,   \n\n\n\nyou?  "},
]


class Told:
    """An upstream that keeps what it was sent."""

    def __init__(self, inner):
        self.inner = inner
        self.bodies = []

    async def ask(self, call):
        self.bodies.append(json.loads(request_body(call, usage=False)))
        return await self.inner.ask(call)


@pytest.fixture
def told(served, settings):
    async def serve(**fields):
        made = gateway(replace(settings, **fields))
        upstream = Told(made.models.upstream)
        return await served(gateway=replace(made, models=replace(made.models, upstream=upstream))), upstream.bodies

    return serve


async def test_system_prose_is_sent_without_idle_blanks_and_the_users_words_as_they_came(told):
    client, bodies = await told(optimise="lossless")
    seen = await client.chat(messages=UNTIDY, model=MODEL, x_subsecond_trace="1")
    assert bodies[0]["messages"][0]["content"] == "Be brief.\n\nBe kind.\n"
    assert bodies[0]["messages"][1] == UNTIDY[1]
    assert seen.json["subsecond"]["optimise"]["level"] == "lossless"
    assert "optimise" in seen.headers["server-timing"]


async def test_by_default_everything_is_sent_as_it_came_and_the_optimiser_is_not_loaded(served, settings, told):
    client, bodies = await told()
    await client.chat(messages=UNTIDY, model=MODEL)
    assert bodies[0]["messages"] == UNTIDY
    made = gateway(settings)
    client = await served(gateway=made)
    await client.chat(messages=UNTIDY, model=MODEL)
    assert made.optimising.optimiser.made is None
    await client.chat(messages=UNTIDY, model=MODEL, x_subsecond_optimise="lossless")
    assert made.optimising.optimiser.made


@pytest.mark.parametrize(
    "asked", [{"optimise": "lossless"}, {"optimise_models": f"{MODEL}=lossless"}, {"cache_markers": "openai"}], ids=str
)
async def test_whatever_the_settings_ask_for_is_done_to_every_call(told, asked):
    client, bodies = await told(**asked)
    system = {"role": "system", "content": "Be brief.   \n" * 500}
    await client.chat(messages=[system, UNTIDY[1]], model=MODEL)
    assert bodies[0]["messages"][0] != system or "prompt_cache_key" in bodies[0]


async def test_the_operators_level_is_not_part_of_the_key_and_the_requests_own_is(told):
    client, bodies = await told(optimise="lossless")
    await client.chat(messages=UNTIDY, model=MODEL)
    again = await client.chat(messages=UNTIDY, model=MODEL)
    assert again.headers["cache-status"].startswith("subsecond; hit")
    asked = await client.chat(messages=UNTIDY, model=MODEL, x_subsecond_optimise="off")
    assert asked.headers["cache-status"] == "subsecond; fwd=miss"
    assert bodies[-1]["messages"] == UNTIDY


@pytest.mark.parametrize("word", ["harder", "fit; budget=many", "select; markers=google"])
async def test_a_level_that_there_is_not_is_a_clear_400(told, word):
    client, bodies = await told()
    seen = await client.chat(model=MODEL, x_subsecond_optimise=word)
    assert (seen.status, seen.json["error"]["param"]) == (400, "x-subsecond-optimise")
    assert not bodies


@pytest.mark.parametrize("stream", [False, True])
async def test_what_cannot_be_made_to_fit_is_openais_own_400(told, stream):
    client, bodies = await told(context_windows=f"{MODEL}=200")
    long = [{"role": "user", "content": "word " * 2_000}]
    seen = await client.chat(messages=long, model=MODEL, stream=stream, x_subsecond_optimise="fit")
    assert seen.status == 400
    assert seen.json["error"]["code"] == "context_length_exceeded"
    assert "too long" in seen.json["error"]["message"]
    assert not bodies


async def test_old_turns_make_room_for_the_question(told):
    client, bodies = await told(context_windows=f"{MODEL}=400", optimise="fit", output_reserve=50)
    turns = [
        {"role": role, "content": f"{role} {n}: " + "and so on " * 20}
        for n in range(10)
        for role in ("user", "assistant")
    ]
    question = {"role": "user", "content": "What came first?"}
    seen = await client.chat(messages=[*turns, question], model=MODEL)
    assert seen.status == 200
    assert bodies[0]["messages"][-1] == question
    assert len(bodies[0]["messages"]) < 21
