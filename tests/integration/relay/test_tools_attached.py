"""SUBSECOND_SEMANTIC_TOOLS=text: similar questions with the same tools share answers in words, and never a call."""

import pytest

from tests.support.wires import chunk, reply, stream, whole

ASKED, PARAPHRASE = "How do I reset my password?", "How can I reset my password?"
ALLOWED = {"semantic": "guarded", "semantic_tools": "text"}


def tool(name="lookup"):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


def words(body, _):
    return [stream(chunk(content="Good."), chunk("stop")) if body.get("stream") else whole(reply())]


def calling(body, _, finish="tool_calls"):
    call = {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    if body.get("stream"):
        return [stream(chunk(tool_calls=[{"index": 0, **call}]), chunk(finish))]
    return [whole(reply(None, finish, tool_calls=[call]))]


def hit(seen):
    return "detail=semantic" in seen.headers["cache-status"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_in_words_serves_a_similar_question_with_the_same_tools(relaying, streamed):
    client, server = await relaying(words, **ALLOWED)
    await client.chat(ASKED, tools=[tool()], stream=streamed)
    assert hit(await client.chat(PARAPHRASE, tools=[tool()], stream=streamed))
    assert len(server.requests) == 1


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
async def test_a_call_serves_nobody_else(relaying, streamed, finish):
    client, server = await relaying(lambda body, nth: calling(body, nth, finish), **ALLOWED)
    await client.chat(ASKED, tools=[tool()], stream=streamed)
    assert not hit(await client.chat(PARAPHRASE, tools=[tool()], stream=streamed))
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [tool("other")]},
        {"tools": [tool(), tool("other")]},
        {"tools": []},
        {},
        {"tools": [tool()], "tool_choice": "required"},
        {"tools": [tool()], "tool_choice": {"type": "function", "function": {"name": "lookup"}}},
        {"tools": [tool()], "parallel_tool_calls": False},
        {"tools": [tool()], "functions": [tool()["function"]]},
    ],
    ids=str,
)
async def test_other_tools_and_forced_ones_take_nothing_from_it(relaying, fields):
    client, _ = await relaying(words, **ALLOWED)
    await client.chat(ASKED, tools=[tool()])
    assert not hit(await client.chat(PARAPHRASE, **fields))


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "lookup"}}], ids=str)
async def test_forced_tools_take_no_part_among_themselves(relaying, choice):
    client, _ = await relaying(words, **ALLOWED)
    await client.chat(ASKED, tools=[tool()], tool_choice=choice)
    assert not hit(await client.chat(PARAPHRASE, tools=[tool()], tool_choice=choice))


async def test_it_is_off_by_default_and_explained(relaying):
    client, _ = await relaying(words, semantic="guarded")
    await client.chat(ASKED, tools=[tool()])
    assert not hit(await client.chat(PARAPHRASE, tools=[tool()]))
    body = {
        "model": "sim-t0-i0-n8",
        "messages": [{"role": "user", "content": f"{PARAPHRASE} Please."}],
        "tools": [tool()],
    }
    found = (await client.post("/v1/cache/explain", body)).json
    assert "SUBSECOND_SEMANTIC_TOOLS" in found["reasons"][0]
