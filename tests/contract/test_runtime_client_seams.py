"""What the streaming runtime needs of awslambdaric. A new version that moves one of these seams fails here, by name."""

from __future__ import annotations

import inspect

from awslambdaric import bootstrap
from awslambdaric.lambda_config import LambdaConfigProvider
from awslambdaric.lambda_runtime_client import BaseLambdaRuntimeClient, LambdaRuntimeClient
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

from subsecond.lambda_runtime.http_stream import CONTENT_TYPE, HttpStream
from subsecond.lambda_runtime.runtime_client import StreamingRuntimeClient, StreamMarshaller


def names(function):
    return list(inspect.signature(function).parameters)


def test_the_loop_takes_the_handler_and_the_client():
    assert names(bootstrap.run) == ["handler", "lambda_runtime_client"]


def test_the_client_is_made_of_an_address_and_the_way_it_polls():
    assert names(LambdaRuntimeClient) == ["lambda_runtime_address", "use_thread_for_polling_next"]


def test_results_are_posted_with_the_id_the_data_the_type_and_the_invocation_id():
    expected = ["self", "invoke_id", "result_data", "content_type", "invocation_id"]
    assert names(LambdaRuntimeClient.post_invocation_result) == expected


def test_a_failed_post_goes_through_one_method():
    assert names(LambdaRuntimeClient.handle_exception) == ["self", "exc", "func_to_retry", "use_backoff"]
    source = inspect.getsource(BaseLambdaRuntimeClient.post_invocation_result)
    assert "self.handle_exception(e)" in source


def test_the_marshaller_is_the_clients_attribute():
    assert isinstance(LambdaRuntimeClient.marshaller, LambdaMarshaller)
    assert names(LambdaMarshaller.marshal_response) == ["self", "response"]
    assert isinstance(StreamingRuntimeClient.marshaller, StreamMarshaller)


def test_the_configuration_names_handler_address_polling_and_concurrency():
    found = LambdaConfigProvider(["runtime", "app.handler"], {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"})
    assert (found.handler, found.api_address) == ("app.handler", "127.0.0.1:9001")
    assert (found.use_thread_polling, found.is_multi_concurrent) == (False, False)


def test_the_loop_hands_the_marshalled_result_to_the_client_unchanged():
    """The two seams together, through AWS's own code."""
    posted = []

    class Client(StreamingRuntimeClient):
        def post_invocation_result(self, *arguments):
            posted.append(arguments)

    stream = HttpStream(200, {})
    known = {
        "lambda_runtime_client": Client("127.0.0.1:1"),
        "request_handler": lambda _event, _context: stream,
        "invoke_id": "id-1",
        "event_body": b"{}",
        "content_type": "application/json",
        "epoch_deadline_time_in_ms": 0,
        "invocation_id": "proof-1",
    }
    bootstrap.handle_event_request(**{name: known.get(name) for name in names(bootstrap.handle_event_request)})
    assert posted == [("id-1", stream, CONTENT_TYPE, "proof-1")]
