"""What is read of an answer that is coming in, whatever form the server has chosen."""

import json
from dataclasses import replace

import pytest

from subsecond.errors import UpstreamBrokeOff, UpstreamError, UpstreamUnreachable
from subsecond.model import Chunk
from subsecond.ports import Reply
from subsecond.upstreams.live_answer import LiveAnswer
from tests.support.scripted import ScriptedStream, piece, whole

TYPED = {
    "responses": (
        b'{"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}}',
        b'{"type": "response.output_text.delta", "delta": "Hi"}',
        b'{"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}}',
    ),
    "messages": (
        b'{"type": "message_start", "message": {"type": "message", "content": []}}',
        b'{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}',
        b'{"type": "message_stop"}',
    ),
}


class Upstream:
    def __init__(self, found):
        self.found = found

    async def ask(self, _call):
        return self.found


async def told(found, call):
    """All chunks, and the recording."""
    answer = await LiveAnswer.open(Upstream(found), call)
    chunks = list(answer.chunks)
    while chunk := await answer.next():
        chunks.append(chunk)
    answer.close()
    return chunks, answer.recording()


def ask_in(ask, form):
    return replace(ask(), form=form)


async def test_a_whole_reply_is_one_chunk_of_its_own_bytes(ask):
    body = b" " + whole("Hi") + b"\n"
    chunks, recording = await told(Reply(body), ask_in(ask, "whole"))
    assert [chunk.data for chunk in chunks] == [body]
    assert (recording.payloads, recording.finish, recording.text) == ((body,), "stop", "Hi")


async def test_a_stream_that_was_asked_whole_is_joined_and_may_be_kept(ask):
    chunks, recording = await told(ScriptedStream([piece("a"), piece("b", "stop")]), ask_in(ask, "whole"))
    assert json.loads(chunks[0].data)["choices"][0]["message"]["content"] == "ab"
    assert (len(chunks), recording.finish, recording.form) == (1, "stop", "whole")


async def test_what_is_joined_by_its_shape_alone_is_told_and_never_kept(ask):
    odd = piece("b", "stop").replace(b'"index"', b'"unheard_of": 1, "index"')
    chunks, recording = await told(ScriptedStream([piece("a"), odd]), ask_in(ask, "whole"))
    choice = json.loads(chunks[0].data)["choices"][0]
    assert (choice["message"]["content"], choice["unheard_of"]) == ("ab", 1)
    assert recording.finish == "unknown"


async def test_a_whole_reply_that_was_asked_to_stream_is_told_in_events(ask):
    chunks, recording = await told(Reply(whole("Hi", usage={"total_tokens": 1})), ask_in(ask, "stream"))
    assert chunks[-1].usage
    assert (recording.form, recording.finish, recording.text) == ("stream", "stop", "Hi")


async def test_comments_are_passed_on_and_not_recorded(ask):
    ping = Chunk(b" ping", comment=True)
    chunks, recording = await told(ScriptedStream([ping, piece("a"), ping, piece("b", "stop")]), ask_in(ask, "stream"))
    assert [chunk.comment for chunk in chunks] == [True, False, True, False]
    assert len(recording.payloads) == 2


@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize(
    "steps",
    [
        [],
        [b'{"choices": []}'],
        [b'{"choices": [], "usage": {"total_tokens": 1}}'],
        [b'{"error": {"message": "m"}}'],
        [b"<html>"],
        [Chunk(b'{"message": "m"}', name=b"error")],
    ],
)
async def test_what_is_no_answer_is_an_error_before_anything_is_told(ask, form, steps):
    with pytest.raises(UpstreamError):
        await LiveAnswer.open(Upstream(ScriptedStream(steps)), ask_in(ask, form))


async def test_an_error_in_mid_stream_is_raised_where_it_stands(ask):
    answer = await LiveAnswer.open(
        Upstream(ScriptedStream([piece("a"), piece("b"), b'{"error": {"message": "full", "code": 429}}'])),
        ask_in(ask, "stream"),
    )
    assert await answer.next()
    with pytest.raises(UpstreamError, match="full"):
        await answer.next()


async def test_the_call_is_ended_with_its_last_event_and_when_it_is_left(ask):
    closed = []
    for leave_early in (True, False):
        stream = ScriptedStream([piece("a"), piece("b", "stop")], lambda: closed.append(1))
        answer = await LiveAnswer.open(Upstream(stream), ask_in(ask, "stream"))
        if leave_early:
            answer.close()
        else:
            while await answer.next():
                pass
    assert len(closed) == 2


async def test_a_failure_at_the_beginning_ends_the_call(ask):
    closed = []
    stream = ScriptedStream([UpstreamUnreachable("away")], lambda: closed.append(1))
    with pytest.raises(UpstreamUnreachable):
        await LiveAnswer.open(Upstream(stream), ask_in(ask, "stream"))
    assert closed == [1]


@pytest.mark.parametrize("endpoint", TYPED)
@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize("said", [0, 1, 2])
async def test_a_typed_stream_that_stops_without_its_last_event_has_broken_off(ask, endpoint, form, said):
    call = replace(ask(), form=form, endpoint=endpoint)
    with pytest.raises(UpstreamBrokeOff):
        await told(ScriptedStream(TYPED[endpoint][:said]), call)


@pytest.mark.parametrize("endpoint", TYPED)
async def test_a_typed_stream_has_ended_though_something_comes_behind_its_last_event(ask, endpoint):
    steps = [*TYPED[endpoint], b'{"type": "beside"}']
    chunks, _ = await told(ScriptedStream(steps), replace(ask(), form="stream", endpoint=endpoint))
    assert [chunk.data for chunk in chunks] == steps


@pytest.mark.parametrize("endpoint", TYPED)
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("cut", [b'{"type": "response.output_text.delta", "del', b'{"type": "ping"', b"<html>", b"7"])
async def test_what_is_no_event_of_a_typed_stream_is_an_error_wherever_it_stands(ask, endpoint, at, cut):
    steps = [Chunk(payload, name=b"any") for payload in TYPED[endpoint]]
    steps.insert(at, Chunk(cut, name=b"any"))
    with pytest.raises(UpstreamBrokeOff):
        await told(ScriptedStream(steps), replace(ask(), form="stream", endpoint=endpoint))


async def test_a_chunk_of_chat_that_is_cut_is_the_clients_to_read(ask):
    steps = [piece("a"), b'{"choices": [{"ind', piece("b", "stop")]
    chunks, recording = await told(ScriptedStream(steps), ask_in(ask, "stream"))
    assert ([chunk.data for chunk in chunks], recording.finish) == (steps, "unknown")
