"""Lists of prompts before a server whose answers are odd: put together as far as they say what is whose."""

import json

import pytest

from tests.support.wires import stream, whole

PLAIN = {"id": "c1", "object": "text_completion", "created": 1, "model": "m"}


def said(text, **choice):
    return {**PLAIN, "choices": [{"index": 0, "text": text, "finish_reason": "stop", **choice}]}


async def ask(relaying, odd, **fields):
    """Two prompts at once, of which the second one is answered oddly."""

    def answer(body, _):
        found = said("One.") | {"usage": {"prompt_tokens": 3, "total_tokens": 5}} if body["prompt"] == "one" else odd
        return [stream(found) if body.get("stream") else whole(found)]

    client, _ = await relaying(answer)
    return await client.post("/v1/completions", {"model": "m", "prompt": ["one", "two"], **fields})


@pytest.mark.parametrize("count", ["5", {"a": 1}, None, [1], 1.5, True])
async def test_counts_that_are_no_numbers_do_not_add(relaying, count):
    seen = await ask(relaying, said("Two.") | {"usage": {"prompt_tokens": count, "total_tokens": 7}})
    assert (seen.status, [choice["text"] for choice in seen.json["choices"]]) == (200, ["One.", "Two."])
    assert seen.json["usage"] == {"prompt_tokens": 3, "total_tokens": 12}


@pytest.mark.parametrize("index", ["0", [1], None, {}, 0])
async def test_an_index_that_is_none_is_the_choices_place(relaying, index):
    seen = await ask(relaying, said("Two.", index=index))
    assert [(choice["index"], choice["text"]) for choice in seen.json["choices"]] == [(0, "One."), (1, "Two.")]
    told = await ask(relaying, said("Two.", index=index), stream=True)
    choices = [choice for one in told.chunks for choice in one["choices"]]
    assert sorted((choice["index"], choice["text"]) for choice in choices) == [(0, "One."), (1, "Two.")]
    assert told.done


async def test_choices_that_are_no_objects_are_nobodys(relaying):
    seen = await ask(relaying, {**said("Two."), "choices": ["x", *said("Two.")["choices"]]})
    assert [choice["text"] for choice in seen.json["choices"]] == ["One.", "Two."]


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-32"])
async def test_an_answer_that_is_not_utf8_is_none(relaying, coding):
    """Python's reader guesses these, and what is added to such a body makes no JSON of it (RFC 8259, section 8.1)."""
    client, _ = await relaying(lambda *_: [whole(json.dumps(said("Two.")).encode(coding))])
    seen = await client.post("/v1/completions", {"model": "m", "prompt": "two"})
    assert (seen.status, seen.json["error"]["code"]) == (502, "upstream_unreachable")


async def test_an_answer_with_a_mark_of_utf8_before_it_is_one(relaying):
    client, _ = await relaying(lambda *_: [whole(b"\xef\xbb\xbf" + json.dumps(said("Two.")).encode())])
    seen = await client.post("/v1/completions", {"model": "m", "prompt": "two"})
    assert (seen.status, json.loads(seen.body.decode("utf-8-sig"))["response"]) == (200, "Two.")
