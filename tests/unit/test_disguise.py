"""Errors in disguise: every shape in which a server puts one where an answer is due."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.streaming.disguise import completed, error_in, error_in_event, not_an_answer, words_of

CHOICE = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
FRAME = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
OBJECT = {"message": "Too much", "type": "rate_limit_exceeded", "param": None, "code": "rate_limit_exceeded"}

# A payload or body, with the status and the words that a client is due.
ERRORS = {
    "openai": ({"error": OBJECT}, 429, "Too much"),
    "openai server": ({"error": {"message": "Sorry", "type": "server_error"}}, 500, "Sorry"),
    "openai window": ({"error": {"message": "m", "code": "context_length_exceeded"}}, 400, "m"),
    "openai quota": ({"error": {"message": "m", "type": "insufficient_quota"}}, 429, "m"),
    "openai model": ({"error": {"message": "m", "code": "model_not_found"}}, 404, "m"),
    "a word": ({"error": "boom"}, 502, "boom"),
    "a word and a status": ({"error": "Not Found", "status": 404, "path": "/"}, 404, "Not Found"),
    "a code and words": ({"error": "MODEL_BUSY", "status": 503, "message": "Come back"}, 503, "Come back"),
    "yes and words": ({"error": True, "message": "bad", "status": 400}, 400, "bad"),
    "a list of words": ({"error": ["one", "two"]}, 502, "one; two"),
    "a list of objects": ({"error": [{"message": "m", "code": 413}]}, 413, "m"),
    "openrouter": ({"error": {"message": "m", "code": 429}, "user_id": "u"}, 429, "m"),
    "openrouter, a stream": (
        {
            **FRAME,
            "error": {"code": "server_error", "message": "gone"},
            "choices": [{**CHOICE, "finish_reason": "error"}],
        },
        500,
        "gone",
    ),
    "openrouter, a choice": ({"choices": [{"error": {"code": 502, "message": "m"}}]}, 502, "m"),
    "a gateway behind a gateway": ({"error": {"error": {"message": "deep", "code": 404}}}, 404, "deep"),
    "sglang": ({"error": {"object": "error", "message": "m", "type": "BadRequestError", "code": 400}}, 400, "m"),
    "vllm": ({"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400}, 400, "m"),
    "vllm without code": ({"object": "error", "message": "maximum context length is 8192"}, 400, "8192"),
    "mistral": (
        {
            "object": "error",
            "message": {"detail": [{"loc": ["body", "n"], "msg": "no"}]},
            "type": "invalid_request_error",
        },
        400,
        "body.n: no",
    ),
    "anthropic": ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, 529, "m"),
    "anthropic's limit": ({"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}, 429, "m"),
    "gemini": ([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], 400, "m"),
    "gemini without code": ([{"error": {"message": "m", "status": "RESOURCE_EXHAUSTED"}}], 429, "m"),
    "fastapi": ({"detail": "model is required"}, 502, "model is required"),
    "fastapi's list": ({"detail": [{"loc": ["body", "n"], "msg": "no"}]}, 502, "body.n: no"),
    "details": ({"code": 500, "details": "an unexpected error"}, 500, "an unexpected error"),
    "fastapi and null choices": ({"detail": "m", "choices": None}, 502, "m"),
    "api gateway": ({"message": "Internal server error"}, 502, "Internal server error"),
    "aws": ({"__type": "ThrottlingException", "message": "slow"}, 429, "slow"),
    "aws, capital": ({"Message": "slow", "code": "AccessDeniedException"}, 403, "slow"),
    "cohere": ({"id": "1", "message": "no such model"}, 502, "no such model"),
    "dashscope": ({"code": "Throttling.RateQuota", "message": "slow", "request_id": "r"}, 429, "slow"),
    "spark": ({"code": 10013, "message": "m", "sid": "s"}, 502, "m"),
    "baidu": ({"error_code": 18, "error_msg": "qps", "id": "1"}, 502, "qps"),
    "minimax": ({"base_resp": {"status_code": 1008, "status_msg": "balance"}, "choices": None}, 502, "balance"),
    "cloudflare": ({"errors": [{"message": "m", "code": 7003}], "success": False, "result": None}, 502, "m"),
    "apigee": ({"fault": {"faultstring": "m", "detail": {"errorcode": "c"}}}, 502, "m"),
    "text generation inference": ({"error": "m", "error_type": "validation"}, 400, "m"),
    "a status in words": ({"error": {"message": "m", "code": "429"}}, 429, "m"),
    "a status as a float": ({"error": {"message": "m", "code": 429.0}}, 429, "m"),
    "a status of no error": ({"error": {"message": "m", "code": 200}}, 502, "m"),
    "words that speak of a limit": ({"error": {"message": "Rate limit reached for m"}}, 429, "Rate limit"),
    "empty choices beside it": ({"message": "m", "code": 503, "choices": []}, 503, "m"),
}

NONE = {
    "a chunk": {**FRAME, "choices": [CHOICE]},
    "null beside choices": {**FRAME, "error": None, "choices": [CHOICE]},
    "nothing beside choices": {**FRAME, "error": {}, "choices": [CHOICE]},
    "no and choices": {**FRAME, "error": False, "choices": [CHOICE]},
    "an error of success": {"error": {"code": 0, "message": "success"}, "choices": [CHOICE]},
    "words beside choices": {"code": 0, "message": "Success", "sid": "s", "choices": [CHOICE]},
    "any words beside choices": {"message": "m", "detail": "d", "status": 500, "choices": [CHOICE]},
    "success without choices": {"code": 0, "message": "Success", "sid": "s"},
    "one of two choices": {"choices": [CHOICE, {"index": 1, "error": {"message": "m"}}]},
    "usage": {**FRAME, "choices": [], "usage": {"total_tokens": 1}},
    "azure's first": {"id": "", "object": "", "choices": [], "prompt_filter_results": []},
    "no choices at all": {"id": "c", "object": "text_completion"},
    "minimax is content": {"base_resp": {"status_code": 0, "status_msg": "success"}, "choices": None},
    "ollama's own": {"model": "m", "message": {"role": "assistant", "content": "a"}, "done": False},
    "nothing": {},
    "null": None,
    "a number": 7,
    "words": "a",
    "a list": [{"embedding": [0.1]}],
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_known_in_any_disguise(name):
    value, status, words = ERRORS[name]
    for error in (error_in(value), error_in_event(json.dumps(value).encode())):
        assert (error.status, words in error.message) == (status, True)
        assert error.body()["error"].keys() >= {"message", "type", "param", "code"}
    assert not_an_answer("chat", json.dumps(value).encode()).status == status


@pytest.mark.parametrize("name", NONE)
def test_what_is_none_is_none(name):
    assert error_in(NONE[name]) is None


def test_the_servers_own_object_is_kept_and_completed():
    error = {"message": "m", "code": 429, "metadata": {"provider": "p"}}
    assert error_in({"error": error}).body()["error"] == {
        "message": "m",
        "type": "upstream_error",
        "param": None,
        "code": "429",
        "metadata": {"provider": "p"},
    }
    assert error_in({"error": OBJECT}).body()["error"] == OBJECT


@pytest.mark.parametrize(
    "value",
    [
        {"error": {"message": "Incorrect API key provided: sk-ab***yz.", "code": "invalid_api_key"}},
        {"error": {"message": "sk-ab***yz", "type": "authentication_error"}},
        {"error": {"message": "sk-ab***yz", "code": 401}},
        {"error": {"message": "sk-ab***yz", "status": "UNAUTHENTICATED"}},
        {"code": "invalid argument", "error": "Incorrect API key provided: sk-ab***yz."},
        {"error": {"message": "Access denied: invalid subscription key sk-ab***yz", "code": 400}},
    ],
)
def test_what_speaks_of_our_key_is_ours_and_shows_none(value):
    error = error_in(value)
    assert (error.status, error.body()["error"]["code"]) == (502, "upstream_auth")
    assert "sk-" not in json.dumps(error.body())


def test_a_refusal_of_the_request_is_not_about_our_key():
    assert error_in({"error": {"message": "Your API key lacks permission.", "code": 403}}).status == 403


@pytest.mark.parametrize("value", [{"message": "m", "type": "overloaded_error"}, {"x": 1}, "m", None, [1]])
def test_an_event_named_error_is_one_whatever_it_holds(value):
    assert error_in(value, b"error") is not None
    assert error_in_event(json.dumps(value).encode(), b"error") is not None


def test_an_event_named_error_keeps_its_words():
    assert error_in_event(b"out of memory", b"error").message == "out of memory"
    assert error_in_event(b'{"type":"overloaded_error","message":"m"}', b"error").status == 529


@pytest.mark.parametrize("payload", [b"error: out of memory", b'"Error: out of memory"', b"ERROR out of memory"])
def test_plain_words_of_an_error_are_an_error(payload):
    assert "out of memory" in error_in_event(payload).message


@pytest.mark.parametrize("payload", [b"{", b"7", b"[]", b"null", b"", b"hello", b"[" * 100_000, b"\xff"])
def test_an_event_that_is_no_object_breaks_the_stream_off(payload):
    assert error_in_event(payload).code == "upstream_broke_off"


@pytest.mark.parametrize("value", [value for value in NONE.values() if isinstance(value, dict)])
def test_a_chunk_is_no_error(value):
    assert error_in_event(json.dumps(value).encode()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"null",
        b"7",
        b'"a"',
        b"[]",
        b"<html>Bad gateway</html>",
        b"{",
        b"\xff\xfe",
        b"{}",
        b'{"choices":null}',
        b'{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":[1]}',
        b'{"choices":[],"usage":{"total_tokens":1}}',
        b'{"choices":[{"index":0}]}',
        b'{"id":"c","object":"chat.completion","choices":null,"usage":{}}',
        b'{"data":[{"embedding":[0.1]}]}',
    ],
)
def test_a_body_without_a_choice_is_no_answer(body):
    for endpoint in ("chat", "text"):
        assert not_an_answer(endpoint, body).status == 502


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("chat", b'{"choices":[{"message":{"content":"a"}}]}'),
        ("chat", b'{"choices":[{"message":null,"finish_reason":"stop"}]}'),
        ("chat", b'{"error":null,"choices":[{"message":{}}]}'),
        ("text", b'{"choices":[{"text":""}]}'),
        ("text", b'\xef\xbb\xbf{"choices":[{"text":"a"}]}'),
    ],
)
def test_a_body_with_one_is(endpoint, body):
    assert not_an_answer(endpoint, body) is None


@pytest.mark.parametrize(
    ("found", "message", "code"),
    [
        ("m", "m", None),
        ("<html>", "The upstream refused the request.", None),
        (None, "The upstream refused the request.", None),
        ({"message": {"detail": "d"}}, "d", None),
        ({"message": None, "detail": "d"}, "d", None),
        ({"message": "m", "code": {"a": 1}}, "m", '{"a":1}'),
        ({"message": "m", "code": True}, "m", "true"),
    ],
)
def test_an_error_object_is_completed(found, message, code):
    error = completed(found)
    assert (error["message"], error["type"], error["param"], error["code"]) == (message, "upstream_error", None, code)


def test_deep_words_are_no_words():
    deep = "m"
    for _ in range(100_000):
        deep = [deep]
    assert words_of(deep) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "errors", "message", "detail", "code", "status", "type", "choices", "loc", "fault"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([b"", b"error", b"ping"]))
def test_any_shape_is_read(value, name):
    for error in (error_in(value, name), error_in_event(json.dumps(value).encode(), name)):
        if error:
            assert 400 <= error.status < 600
            assert isinstance(error.body()["error"]["message"], str)
