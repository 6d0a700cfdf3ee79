import json

import pytest

from subsecond.routing.failures import is_full, worth_another
from subsecond.upstreams.converse.failures import ERRORS, OURS, bedrock_refusal, failure
from tests.support.bedrock import SERVICE

SECRET = "User: arn:aws:sts::123456789012:assumed-role/r/f is not authorized to perform: bedrock:InvokeModel"


def refused(name, message="No.", status=400, *more):
    fields = [(b"x-amzn-errortype", f"{name}:http://internal.amazon.com/x/".encode()), *more]
    return bedrock_refusal(status, fields, json.dumps({"message": message}).encode(), b"")


def test_every_exception_of_the_service_has_its_place():
    named = {shape.name for op in ("Converse", "ConverseStream", "InvokeModel") for shape in
             SERVICE.operation_model(op).error_shapes}  # fmt: skip
    assert named <= ERRORS.keys() | OURS


@pytest.mark.parametrize("name", ERRORS)
def test_its_words_are_kept(name):
    status, kind, code = ERRORS[name]
    error = refused(name)
    assert (error.status, error.body()["error"]) == (
        status,
        {"message": "No.", "type": kind, "param": None, "code": code},
    )


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_speaks_of_our_role_is_told_without_its_text(name):
    error = refused(name, SECRET, 403)
    assert (error.status, error.code) == (502, "upstream_auth")
    assert "123456789012" not in str(error.body())
    assert worth_another(error)


def test_throttling_says_when_to_try_again():
    assert refused("ThrottlingException", status=429).retry_after == "1"
    assert refused("ThrottlingException", "x", 429, (b"retry-after", b"7")).retry_after == "7"
    assert worth_another(refused("ThrottlingException", status=429))


def test_the_tokens_quota_has_openai_s_type():
    assert failure("throttlingException", "Too many tokens, please wait.").body()["error"]["type"] == "tokens"


FULL = ["Input is too long for requested model.", "prompt is too long: 210000 tokens > 200000 maximum"]


@pytest.mark.parametrize("message", FULL)
def test_a_full_window_has_openai_s_code(message):
    error = refused("ValidationException", message)
    assert error.body()["error"]["code"] == "context_length_exceeded"
    assert is_full(error)


def test_an_unknown_model_is_not_found():
    error = refused("ValidationException", "The provided model identifier is invalid.")
    assert (error.status, error.body()["error"]["code"]) == (404, "model_not_found")


def test_what_bears_no_mark_of_aws_is_left_to_others():
    assert bedrock_refusal(429, [], b'{"error":{"message":"slow down"}}', b"") is None


def test_a_new_exception_keeps_its_status():
    assert refused("SomethingNewException", status=409).status == 409
