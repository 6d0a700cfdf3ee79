"""What only the `openai` package has: the legacy calls, its async client, its helpers, hanging up in every way."""

from __future__ import annotations

import asyncio

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

MODEL = "sim-t5-i1-n24"
ENDLESS = "sim-t0-i0-n24-fstall4"
NEVER = "sim-t60000-i0-n8"


@pytest.fixture
def client(target):
    with OpenAI(base_url=target.base_url, api_key=target.key, max_retries=0, timeout=30) as found:
        yield found


@pytest.fixture
async def asynchronous(target):
    async with AsyncOpenAI(base_url=target.base_url, api_key=target.key, max_retries=0, timeout=30) as found:
        yield found


@pytest.fixture
def messages(request):
    return [{"role": "user", "content": f"{request.node.name}?"}]


def test_a_legacy_completion_comes_whole_and_streamed(client, request):
    asked = {"model": MODEL, "prompt": request.node.name}
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    whole = client.completions.create(**asked)
    assert whole.object == "text_completion"
    assert len(whole.choices[0].text.split()) == 24
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].text]) == 24
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.choices[0].text
    assert [chunk.usage for chunk in chunks if chunk.usage] == [whole.usage]
    assert chunks[-1].choices == []
    assert {chunk.object for chunk in chunks} == {"text_completion"}


def test_a_list_of_prompts_gives_each_the_answer_that_it_gets_alone(client, request):
    prompts = [f"{request.node.name} {word}" for word in ("one", "two", "three")]
    together = client.completions.create(model=MODEL, prompt=prompts)
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    assert len({choice.text for choice in together.choices}) == 3
    for prompt, choice in zip(prompts, together.choices, strict=True):
        assert client.completions.create(model=MODEL, prompt=prompt).choices[0].text == choice.text
    assert together.usage.completion_tokens == 72


def test_a_list_of_prompts_streams(client, request):
    prompts = [f"{request.node.name} {word}" for word in ("one", "two")]
    texts = ["", ""]
    chunks = list(
        client.completions.create(model=MODEL, prompt=prompts, stream=True, stream_options={"include_usage": True})
    )
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        texts[choice.index] += choice.text
    together = client.completions.create(model=MODEL, prompt=prompts)
    assert texts == [choice.text for choice in together.choices]
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert [usage.completion_tokens for usage in usages] == [48]
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_choices_keep_their_places(client, messages):
    asked = {"model": MODEL, "messages": messages, "n": 3}
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    for _ in range(2):
        whole = client.chat.completions.create(**asked)
        assert [choice.message.content for choice in whole.choices] == texts
    assert len(set(texts)) == 3


def test_the_streaming_helper_joins_the_whole_answer(client, messages):
    for _ in range(2):
        with client.chat.completions.stream(model=MODEL, messages=messages) as events:
            deltas = [event.delta for event in events if event.type == "content.delta" and event.delta]
            joined = events.get_final_completion().choices[0]
        assert "".join(deltas) == joined.message.content
        assert len(deltas) == 24
        assert (joined.message.role, joined.finish_reason) == ("assistant", "stop")


def test_embeddings_are_alike_packed_and_plain(client):
    asked = {"model": MODEL, "input": ["one"], "dimensions": 8}
    packed = client.embeddings.create(**asked)
    plain = client.embeddings.create(**asked, encoding_format="float")
    tokens = client.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]], dimensions=8)
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert [len(one.embedding) for one in tokens.data] == [8, 8]


def test_answers_beyond_ascii_arrive_as_they_are(client, messages):
    asked = {"model": "sim-t0-i0-n40-funicode-fslow0", "messages": messages}
    chunks = list(client.chat.completions.create(**asked, stream=True))
    whole = client.chat.completions.create(**asked).choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert not whole.isascii()
    assert "\ufffd" not in whole


def test_an_answer_that_was_cut_or_filtered_says_so(client, messages):
    cut = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=5).choices[0]
    filtered = client.chat.completions.create(model=f"{MODEL}-ffilter3", messages=messages).choices[0]
    assert (cut.finish_reason, len(cut.message.content.split())) == ("length", 5)
    assert (filtered.finish_reason, len(filtered.message.content.split())) == ("content_filter", 3)


def test_an_empty_answer_is_passed_on_and_not_kept(client, simulator, messages):
    asked = {"model": "sim-t0-i0-n8-fempty", "messages": messages}
    for _ in range(2):
        found = client.chat.completions.create(**asked)
        assert (found.choices[0].message.content or "", found.choices[0].finish_reason) == ("", "stop")
    assert simulator.stats()["completed"] == 2


def test_no_messages_are_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=MODEL, messages=[])
    assert refused.value.param == "messages"
    assert refused.value.type == "invalid_request_error"


def test_what_is_not_served_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.batches.list()
    assert refused.value.type == "invalid_request_error"


def test_a_busy_model_server_says_when_to_come_again(client, messages):
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="sim-t0-i0-n8-fstatus429-fafter0", messages=messages)
    assert refused.value.response.headers["retry-after"] == "0"
    assert refused.value.code == "simulated_429"


def test_a_broken_model_server_is_a_server_error(client, messages):
    # The class stands for all of 5xx: a gateway's own word for a server behind it that fails is 502.
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="sim-t0-i0-n8-fstatus500", messages=messages)
    assert refused.value.status_code in (500, 502)


def test_leaving_a_stream_ends_the_work_and_nothing_is_kept(client, ended, messages):
    for calls in (1, 2):
        chunks = client.chat.completions.create(model=ENDLESS, messages=messages, stream=True)
        pieces = [next(chunks) for _ in range(4)]
        chunks.close()
        assert any(piece.choices[0].delta.content for piece in pieces)
        # Who asks before the hang-up is seen joins the call that it ends.
        stats = ended(calls)
        assert (stats["calls"], stats["aborted"], stats["running"]) == (calls, calls, 0)


def test_giving_up_before_the_first_token_ends_the_work(client, ended, messages):
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=3).chat.completions.create(model=NEVER, messages=messages)
    stats = ended(1)
    assert (stats["calls"], stats["aborted"], stats["running"]) == (1, 1, 0)


async def test_a_cancelled_task_ends_the_work(asynchronous, ended, messages):
    heard = asyncio.Event()

    async def listen():
        async for _ in await asynchronous.chat.completions.create(model=ENDLESS, messages=messages, stream=True):
            heard.set()

    task = asyncio.create_task(listen())
    # Its end too: an error would leave the event unset for ever.
    await asyncio.wait({task, waiting := asyncio.create_task(heard.wait())}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stats = await asyncio.to_thread(ended, 1)
    assert (stats["aborted"], stats["running"]) == (1, 0)


async def test_many_at_once_each_get_their_own(asynchronous, messages):
    async def one(number):
        text = [{"role": "user", "content": f"{messages[0]['content']} {number}"}]
        chunks = await asynchronous.chat.completions.create(model=MODEL, messages=text, stream=True)
        streamed = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
        whole = await asynchronous.chat.completions.create(model=MODEL, messages=text)
        assert streamed == whole.choices[0].message.content
        return streamed

    texts = await asyncio.gather(*(one(number) for number in range(20)))
    assert len(set(texts)) == 20


def test_cache_control_decides_what_the_cache_may_do(subsecond, simulator, messages):
    """`no-cache` asks anew, `only-if-cached` never asks, and what was asked anew is kept."""
    asked = {"model": MODEL, "messages": messages}
    with OpenAI(base_url=subsecond.base_url, api_key=subsecond.key, max_retries=0) as client:
        create = client.chat.completions.with_raw_response.create
        with pytest.raises(openai.APIStatusError) as refused:
            create(**asked, extra_headers={"Cache-Control": "only-if-cached"})
        assert refused.value.status_code == 504
        told = [
            create(**asked, extra_headers={"Cache-Control": words}).headers["cache-status"]
            for words in ("no-store", "no-cache", "only-if-cached", "no-cache")
        ]
    assert [status.split(";")[1].strip() for status in told] == ["fwd=miss", "fwd=bypass", "hit", "fwd=bypass"]
    assert simulator.stats()["completed"] == 3


def test_the_client_learns_the_requests_id(subsecond, messages):
    with OpenAI(base_url=subsecond.base_url, api_key=subsecond.key, max_retries=0) as client:
        found = [client.chat.completions.create(model=MODEL, messages=messages) for _ in range(2)]
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model="gpt-none", messages=messages)
    ids = {*(one._request_id for one in found), refused.value.request_id}
    assert None not in ids
    assert len(ids) == 3
