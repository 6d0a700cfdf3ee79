"""Why a dry run finds nothing: the true cause comes first."""

from dataclasses import replace

import pytest

from subsecond.api.explanations import differs
from tests.support.cache_control import ASKED, MODEL, PARAPHRASE, SETTINGS, chat


@pytest.fixture
async def client(served):
    return await served(SETTINGS)


async def explained(client, body, **headers):
    seen = await client.post("/v1/cache/explain", body, **headers)
    assert seen.status == 200
    return seen.json


async def test_an_answer_that_was_cut_is_the_cause_where_it_would_have_answered(client):
    await client.chat(ASKED, max_tokens=3)
    found = await explained(client, chat(PARAPHRASE, max_tokens=3))
    assert found["source"] == "upstream"
    assert "was cut (finish reason `length`)" in found["reasons"][0]
    far = await explained(client, chat("Why is the sky blue?", max_tokens=3))
    assert "cut" not in far["reasons"][0]
    # Another scope: a request that is not cut.
    assert "nothing in its scope" in (await explained(client, chat(PARAPHRASE)))["reasons"][0]


async def test_the_nearest_ones_verdict_is_the_cause_and_its_question_is_shown_where_it_parts(served, settings):
    client = await served(replace(SETTINGS, semantic="guarded", similarity=0.0))
    await client.chat("How many grams are in 5 pounds of flour?")
    found = await explained(client, chat("How many grams are in 6 pounds of flour?"))
    assert found["reasons"] == ["the nearest candidate was refused: numbers differ", "the same request is not stored"]
    (near,) = found["nearest"]
    assert near["question"] == "How many grams are in 5 pounds of flour?"
    assert near["differs"] == {"stored": "5", "asked": "6"}
    path = f"/v1/cache/explain?entry={near['entry']}&question=How many grams are in 7 pounds of flour?"
    verdict = (await client.send("GET", path.replace(" ", "+"))).json["verdict"]
    assert verdict["differs"] == {"stored": "5", "asked": "7"}


async def test_what_is_not_similar_enough_says_how_similar_it_is(client):
    await client.chat(ASKED)
    found = await explained(client, chat("Why is the sky blue?"))
    similarity = f"{found['nearest'][0]['similarity']:.3f}"[:4]
    assert found["reasons"][0].startswith(f"nothing in its scope is similar enough: {similarity}")
    assert found["reasons"][0].endswith("0.800 is wanted")


async def test_the_same_request_that_may_not_serve_is_the_cause(client):
    await client.chat(ASKED)
    old = await explained(client, chat(ASKED), cache_control="max-age=0")
    assert "older than this one wants it" in old["reasons"][0]
    invalidated = await client.post("/v1/cache/invalidate", {"by": "model", "value": MODEL})
    assert invalidated.status == 200
    assert (await explained(client, chat(ASKED)))["reasons"][0] == "the same request is stored, and was invalidated"


@pytest.mark.parametrize(
    ("stored", "asked", "parts"),
    [
        ("What does grep -l print?", "What does grep -L print?", ("-l", "-L")),
        ("Is it open today?", "Is it open?", ("open today?", "open?")),
        ("a b", "a b c", ("", "c")),
        ("same", "same", ("", "")),
        ("x", "y" * 100, ("x", "y" * 80 + "...")),
    ],
)
def test_two_texts_part_where_their_words_do(stored, asked, parts):
    assert tuple(differs(stored, asked).values()) == parts


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"temperature": 0.7, "seed": 1}, ["temperature", "seed"]),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, ["tools"]),
        ({"n": 2}, ["n"]),
        (
            {"messages": [{"role": "system", "content": "Now."}, *chat(ASKED)["messages"]]},
            ["messages (system text)"],
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ASKED}]}]},
            ["messages (parts of the last turn)"],
        ),
    ],
    ids=str,
)
async def test_the_fields_that_part_a_request_from_a_stored_one_of_its_text_are_the_cause(client, fields, names):
    await client.chat(ASKED)
    key = (await explained(client, chat(ASKED)))["key"]
    found = await explained(client, chat(ASKED) | fields)
    assert found["parted"] == {"entry": key, "fields": names}
    assert found["reasons"][0] == f"the same text is stored, and parted by: {', '.join(names)}"
    assert (await explained(client, chat(ASKED)))["parted"] is None


async def test_of_several_entries_of_a_text_the_nearest_is_named(client):
    for fields in ({"temperature": 1, "top_p": 0.5}, {"temperature": 1}, {"temperature": 1, "seed": 4}):
        await client.chat(ASKED, **fields)
    assert (await explained(client, chat(ASKED)))["parted"]["fields"] == ["temperature"]
    assert (await explained(client, chat("Why is the sky blue?")))["parted"] is None


async def test_another_environments_entry_is_found_by_its_vector(pair):
    _, key = await pair.teach()
    found = await explained(pair.there, chat(ASKED, temperature=0.7))
    assert found["parted"] == {"entry": key, "fields": ["temperature"]}


async def test_an_object_that_shall_be_kept_is_the_cause(client):
    await client.chat(ASKED, store=True)
    assert "(`store`)" in (await explained(client, chat(ASKED, store=True)))["reasons"][0]
