from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from openai.types.chat import ChatCompletionChunk

from subsecond.streaming import Buffer, listen, text_of


class Source:
    """A stream of pieces that knows whether it was closed and how far it was read."""

    def __init__(self, pieces, error=None):
        self.pieces = pieces
        self.error = error
        self.read = 0
        self.closed = 0
        self.ended = asyncio.Event()

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        if self.read < len(self.pieces):
            self.read += 1
            return self.pieces[self.read - 1]
        self.ended.set()
        if self.error:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self):
        self.closed += 1


@pytest.fixture(autouse=True)
async def nothing_runs_on():
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


def chunk(**delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


async def test_all_callbacks_are_called_in_order_plain_or_async():
    told = []

    async def on_sentence(sentence):
        await asyncio.sleep(0)
        told.append(("sentence", sentence))

    source = Source(["Hello", ". How", " are", "", " you?"])
    whole = await listen(
        source,
        on_token=lambda text: told.append(("token", text)),
        on_sentence=on_sentence,
        on_complete=lambda text, metrics: told.append(("complete", text, metrics.pieces)),
    )

    assert whole == "Hello. How are you?"
    assert told == [
        ("token", "Hello"),
        ("token", ". How"),
        ("sentence", "Hello. "),
        ("token", " are"),
        ("token", " you?"),
        ("sentence", "How are you?"),
        ("complete", whole, 4),
    ]
    assert source.closed == 1


async def test_it_needs_no_callback():
    assert await listen(Source(["a", "b"])) == "ab"


async def test_what_a_callback_returns_does_not_matter():
    assert (
        await listen(Source(["One. Two"]), on_token=len, on_sentence=str.strip, on_complete=lambda *_: 7) == "One. Two"
    )


async def test_metrics_leave_the_time_to_the_first_token_out_of_the_rate():
    found = []

    async def source():
        await asyncio.sleep(0.05)
        for text in "abcde":
            yield chunk(content=text)
            await asyncio.sleep(0.001)
        yield {"choices": [], "usage": {"completion_tokens": 10}}

    await listen(source(), on_complete=lambda _, metrics: found.append(metrics))

    (metrics,) = found
    assert 0.05 <= metrics.ttft_s < metrics.total_s
    assert (metrics.pieces, metrics.tokens) == (5, 10)
    # 8 of the 10 tokens came after the first piece, in no longer than all that followed it.
    assert metrics.tokens_per_second >= 8 / (metrics.total_s - metrics.ttft_s)


async def test_without_a_count_from_the_upstream_there_is_no_token_rate():
    found = []

    await listen(Source(["a", "b"]), on_complete=lambda _, metrics: found.append(metrics))

    assert (found[0].pieces, found[0].tokens, found[0].tokens_per_second) == (2, None, None)


async def test_an_empty_stream_is_complete_and_empty():
    found = []

    assert await listen(Source([]), on_complete=lambda *said: found.append(said)) == ""
    assert found[0][0] == ""
    assert found[0][1].ttft_s is None


async def test_of_several_choices_only_the_first_is_heard():
    second = {"choices": [{"index": 1, "delta": {"content": "other"}}]}

    assert await listen(Source([chunk(content="mine"), second, json.dumps(chunk(content="!")).encode()])) == "mine!"


async def test_a_slow_callback_does_not_hold_up_the_reading():
    source = Source(["x"] * 100)
    read_meanwhile = []

    async def slow(text):
        await source.ended.wait()
        read_meanwhile.append(source.read)

    await listen(source, on_token=slow)

    assert read_meanwhile == [100] * 100


async def test_a_callback_that_is_far_behind_holds_the_stream_up():
    source = Source(["x"] * 100)
    furthest = []

    async def slow(text):
        for _ in range(50):
            await asyncio.sleep(0)
        furthest.append(source.read)

    assert await listen(source, on_token=slow, ahead=5) == "x" * 100
    # Five wait, one is in the callback, one is in the reader's hand.
    assert furthest[0] == 7


@pytest.mark.parametrize("name", ["on_token", "on_sentence", "on_complete"])
async def test_a_failing_callback_is_the_callers_error_and_closes_the_stream(name):
    source = Source(["One. ", "Two. "] * 50)

    async def fail(*_):
        raise LookupError(name)

    with pytest.raises(LookupError, match=name):
        await listen(source, **{name: fail})

    assert source.closed == 1


async def test_when_the_stream_fails_what_came_is_told_and_the_error_raised():
    source = Source(["One. Two", " three"], error=ConnectionError("gone"))
    told = []

    with pytest.raises(ConnectionError, match="gone"):
        await listen(source, told.append, told.append, lambda *_: told.append("complete"))

    assert told == ["One. Two", "One. ", " three"]
    assert source.closed == 1


async def test_a_callers_own_error_wins_over_the_streams():
    source = Source(["a"], error=ConnectionError("gone"))

    async def fail(_):
        await source.ended.wait()
        await asyncio.sleep(0)
        raise LookupError

    with pytest.raises(LookupError):
        await listen(source, on_token=fail)


async def test_a_caller_that_is_cancelled_closes_the_stream():
    source = Source(["x"] * 1_000_000)
    heard = asyncio.Event()
    task = asyncio.create_task(listen(source, on_token=lambda _: heard.set()))
    await heard.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed == 1
    assert source.read < 1_000_000


async def test_a_generator_is_closed_in_the_task_that_ran_it():
    tasks = []

    async def source():
        tasks.append(asyncio.current_task())
        try:
            while True:
                yield "x"
                await asyncio.sleep(0)
        finally:
            tasks.append(asyncio.current_task())

    async def stop(_):
        raise LookupError

    with pytest.raises(LookupError):
        await listen(source(), on_token=stop)

    assert tasks[0] is tasks[1]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (chunk(content="hi"), "hi"),
        (chunk(role="assistant", content=""), ""),
        (chunk(content=None), ""),
        (chunk(tool_calls=[{"index": 0}]), ""),
        ({"choices": [{"index": 0, "delta": None}]}, ""),
        ({"choices": [{"index": 0, "text": "legacy"}]}, "legacy"),
        ({"choices": [{"index": 1, "text": None}]}, ""),
        ({"choices": []}, ""),
        ({"choices": None, "usage": {}}, ""),
        ({}, ""),
        (b'{"choices": [{"delta": {"content": "h\xc3\xa9"}}]}', "hé"),
        (b"[DONE]", ""),
    ],
)
def test_text_of_takes_the_text_out_of_any_chunk(given, text):
    assert text_of(given) == text


@pytest.mark.parametrize("given", [b"[]", b"nonsense", b""])
def test_text_of_refuses_what_is_no_chunk(given):
    with pytest.raises(ValueError, match=r".+"):
        text_of(given)


def openai_chunk(**delta):
    return ChatCompletionChunk(id="c", created=1, model="m", object="chat.completion.chunk", **chunk(**delta))


async def test_chunks_of_the_openai_package_are_taken_as_they_are():
    assert await listen(Source([openai_chunk(content="Hello"), openai_chunk(content=".")])) == "Hello."


def test_a_buffer_keeps_what_a_loop_of_ones_own_has_read():
    buffer = Buffer()
    pieces = [chunk(role="assistant"), chunk(content="a"), chunk(content="b"), chunk(content="c")]
    assert [buffer.add(piece) for piece in pieces] == ["", "a", "b", "c"]
    assert buffer.text == "abc"
    buffer.add({"choices": [], "usage": {"completion_tokens": 6}})
    buffer.end()
    metrics = buffer.metrics()
    assert (metrics.pieces, metrics.tokens) == (3, 6)
    assert 0 < metrics.ttft_s <= metrics.total_s
    # Four of the six tokens came behind the first piece.
    assert metrics.tokens_per_second >= 4 / (metrics.total_s - metrics.ttft_s)


def test_who_imports_a_module_of_the_folder_pays_for_none_of_it():
    code = "import sys, subsecond.streaming.json_bytes; print('subsecond.streaming.listeners' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
