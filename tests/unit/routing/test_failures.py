"""What is an answer and what is none, whose fault it is, and who answers then."""

import json

import pytest

from subsecond.errors import Overloaded, UpstreamError, UpstreamUnreachable
from subsecond.routing.attempts import answer
from subsecond.routing.failures import is_full, is_the_models, seconds_of, wished_rest, worth_another
from subsecond.stats.trace import Trace
from tests.support import virtual
from tests.support.virtual import Server, ask, call, candidate
from tests.support.virtual_time import run

DOWN = UpstreamUnreachable("The upstream could not be reached.")


def failures(known, name="m0"):
    async def main():
        return known.predict(name).error_rate

    return run(main())


ROLE = virtual.chunk({"role": "assistant", "content": ""})
USAGE = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":0,"total_tokens":3}}'
# What a server sends as a stream that is no answer, and is told before anything was.
HOLLOW_STREAMS = {
    "nothing": (),
    "usage only": (USAGE,),
    "a role only": (ROLE,),
    "a role and the end": (ROLE, virtual.chunk({}, "stop"), USAGE),
    "overloaded": (b'{"error":{"type":"overloaded_error","message":"Overloaded"}}',),
    "overloaded after the role": (ROLE, b'{"error":{"type":"overloaded_error","message":"Overloaded"}}'),
    "a limit without a status": (b'{"error":{"message":"Rate limit","code":429}}',),
    "another shape": (b'{"object":"error","message":"CUDA out of memory","code":500}',),
    "HTML": (b"<html>Bad gateway</html>",),
}
HOLLOW_REPLIES = {
    "nothing": (b"",),
    "usage only": (USAGE,),
    "no choices": (b'{"id":"x","choices":null}',),
    "empty": (virtual.whole([ROLE]),),
    "unfinished": (b'{"choices":[{"index":0,"message":{"role":"assistant","content":null},"finish_reason":null}]}',),
    "overloaded": (b'{"error":{"type":"overloaded_error","message":"Overloaded"}}',),
    "a limit without a status": (b'{"error":{"message":"Rate limit","code":429}}',),
    "another shape": (b'{"object":"error","message":"CUDA out of memory","code":500}',),
    "HTML": (b"<html>Bad gateway</html>",),
}
HOLLOW = [("stream", *each) for each in HOLLOW_STREAMS.items()] + [("whole", *each) for each in HOLLOW_REPLIES.items()]
hollow = pytest.mark.parametrize(
    ("form", "payloads"),
    [(form, payloads) for form, _, payloads in HOLLOW],
    ids=[f"{one[0]} {one[1]}" for one in HOLLOW],
)


@hollow
def test_a_good_status_without_an_answer_is_a_failure_and_another_model_answers(form, payloads):
    known = virtual.health()
    (head, text, _, _), trace = ask(Server(0.1, payloads=payloads), Server(0.1), form=form, known=known)
    assert (head.model, text) == ("m1", "ab")
    assert [one.outcome.startswith(("5", "429")) for one in trace.attempts] == [True, False]
    assert failures(known) > 0


@pytest.mark.parametrize(
    ("form", "payloads"),
    [("stream", HOLLOW_STREAMS["a role and the end"]), ("stream", (ROLE,)), ("whole", HOLLOW_REPLIES["empty"])],
)
def test_the_last_models_empty_answer_is_told_as_it_came(form, payloads):
    known = virtual.health()
    servers = Server(lambda _: (0.1, DOWN)), Server(0.1, payloads=payloads)
    (head, text, _, _), trace = ask(*servers, form=form, known=known)
    assert (head.model, text, trace.attempts[1].outcome) == ("m1", "", "answered")
    assert failures(known, "m1") > 0


@pytest.mark.parametrize("form", ["stream", "whole"])
@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "content_filter"])
def test_an_answer_that_is_empty_for_a_reason_is_an_answer(form, reason):
    ended = virtual.chunk({}, reason)
    reply = virtual.whole([ROLE]).replace(b'"stop"', f'"{reason}"'.encode())
    payloads = (ROLE, ended) if form == "stream" else (reply,)
    (head, *_), _ = ask(Server(0.1, payloads=payloads), Server(0.1), form=form)
    assert head.model == "m0"


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning_content": "Hm"},
        {"refusal": "No."},
        {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]},
        {"audio": {"id": "a"}},
        {"content": [{"type": "text", "text": "Hm"}]},
    ],
)
@pytest.mark.parametrize("form", ["stream", "whole"])
def test_what_is_no_text_is_an_answer_too(form, said):
    reply = json.dumps({"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}).encode()
    payloads = (ROLE, virtual.chunk(said), virtual.chunk({}, "stop")) if form == "stream" else (reply,)

    async def main():
        servers = Server(0.1, payloads=payloads), Server(0.1)
        candidates = [candidate(f"m{at}", server) for at, server in enumerate(servers)]
        opened = await answer(candidates, call(form=form), Trace(), virtual.terms())
        await opened.aclose()
        return opened.candidate.name

    assert run(main()) == "m0"


FULL = {
    "OpenAI": {"code": "context_length_exceeded", "type": "invalid_request_error", "message": "Please reduce it."},
    "vLLM": {"type": "BadRequestError", "code": 400, "message": "This model's maximum context length is 4096 tokens."},
    "SGLang": {"message": "The input (9000 tokens) is longer than the model's context length (4096 tokens)."},
    "llama.cpp": {"type": "exceed_context_size_error", "message": "the request exceeds it"},
    "Anthropic": {"type": "invalid_request_error", "message": "prompt is too long: 209000 tokens > 200000 maximum"},
    "Bedrock": {"message": "Input is too long for requested model."},
    "Gemini": {"message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."},
    "Cohere": {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"},
    "TGI": {"message": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"},
}


@pytest.mark.parametrize("said", FULL.values(), ids=FULL)
def test_a_full_window_is_worth_another_model_and_no_failure(said):
    error = UpstreamError(said["message"], status=400, error=said)
    assert (is_full(error), worth_another(error), is_the_models(error)) == (True, True, False)
    other = UpstreamError("no", status=400, error={**said, "code": "invalid_value", "type": "", "message": "No."})
    assert (is_full(other), worth_another(other)) == (False, False)


@pytest.mark.parametrize("form", ["stream", "whole"])
@pytest.mark.parametrize("disguised", [False, True])
@pytest.mark.parametrize(
    ("windows", "heard"), [((), "m1"), ((8, 0, 16), "m1"), ((8, 8, 16), "m2"), ((8, 4, 16), "m2"), ((0, 4), "m1")]
)
def test_a_full_window_lets_a_candidate_answer_that_may_have_a_larger_one(form, disguised, windows, heard):
    said = {"error": FULL["vLLM"]}
    error = UpstreamError("full", status=400, error=FULL["vLLM"])
    full = Server(0.1, payloads=(json.dumps(said).encode(),)) if disguised else Server(lambda _: (0.1, error))
    known = virtual.health()
    (head, *_), trace = ask(full, Server(0.1), Server(0.1), form=form, windows=windows, known=known)
    assert head.model == heard
    assert trace.counts["fallbacks"] == 1
    assert failures(known) == 0


def test_a_full_window_is_told_when_no_other_is_larger():
    error = UpstreamError("full", status=400, error=FULL["OpenAI"])
    servers = Server(lambda _: (0.1, error)), Server()
    found, _ = ask(*servers, windows=(8, 8))
    assert found is error
    assert servers[1].begun == 0


@pytest.mark.parametrize("form", ["stream", "whole"])
@pytest.mark.parametrize("at", [0, 1])
def test_the_clients_mistake_told_in_a_good_status_is_no_failure_of_the_model(form, at):
    said = b'{"error":{"type":"invalid_request_error","message":"No.","code":null}}'
    first = [virtual.chunk({"content": "a"})] * at if form == "stream" else []
    servers = Server(0.1, payloads=(*first, said)), Server()
    known = virtual.health()
    found, _ = ask(*servers, form=form, known=known)
    assert (found.status, servers[1].begun) == (400, 0)
    assert failures(known) == 0


def test_what_is_no_error_of_the_models_is_no_reason():
    assert not worth_another(ValueError())
    assert worth_another(Overloaded(1))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [(None, None), ("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_seconds_or_a_date(said, seconds):
    assert seconds_of(said) == seconds


@pytest.mark.parametrize(
    ("retry_after", "headers", "seconds"),
    [
        (None, (), None),
        ("3", (), 3.0),
        ("3", ((b"retry-after", b"3"), (b"retry-after-ms", b"2400")), 2.4),
        (None, ((b"retry-after", b"5"),), 5.0),
        ("3", ((b"retry-after-ms", b"soon"),), 3.0),
    ],
)
def test_a_server_says_how_long_it_wants_peace(retry_after, headers, seconds):
    error = UpstreamError("busy", status=429, retry_after=retry_after)
    error.headers = headers
    assert wished_rest(error) == seconds
    assert wished_rest(Overloaded(2)) == 2.0
