"""What botocore makes of the same request and of the same events: the judge of everything that is sent to Bedrock."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import botocore.session
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import EventStreamJSONParser
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from subsecond.model import Call
from subsecond.upstreams.converse.families import Families
from subsecond.upstreams.converse.request import Asked, Terms, converse_request
from subsecond_local.bedrock.frames import event

SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
OLD_CLAUDE = "anthropic.claude-3-7-sonnet-20250219-v1:0"
NEW_CLAUDE = "us.anthropic.claude-opus-4-6-v1"
NOVA = "eu.amazon.nova-pro-v1:0"
LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"


def asked(body: dict[str, Any], model: str = CLAUDE, endpoint: Any = "chat", terms: Terms | None = None) -> Asked:
    """Converse's request for an OpenAI body, checked by botocore."""
    call = Call(endpoint, model, {"model": model, **body})
    found = converse_request(call, Families(("openai.*",), {}).find(model), terms or Terms())
    assert sent_by_botocore("Converse", model, found.content)["body"] == found.content
    return found


def sent_by_botocore(operation: str, model: str, content: dict[str, Any]) -> dict[str, Any]:
    """The path and the JSON body that botocore's own client would send."""
    described = SERVICE.operation_model(operation)
    members = {"modelId": model, **_unpacked(described.input_shape, content)}
    report = ParamValidator().validate(members, described.input_shape)
    assert not report.has_errors(), report.generate_report()
    sent = create_serializer("rest-json").serialize_to_request(members, described)
    return {"path": sent["url_path"], "body": json.loads(sent["body"])}


def _unpacked(shape: Any, value: Any) -> Any:
    """Blobs as bytes. A member that the service does not know is an error: its serializer would drop it."""
    if shape.type_name == "blob":
        return b64decode(value, validate=True)
    if shape.type_name == "list":
        return [_unpacked(shape.member, one) for one in value]
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        return {name: _unpacked(shape.members[name], one) for name, one in value.items()}
    return value


def read_by_botocore(data: bytes) -> list[dict[str, Any]]:
    """A stream's events as botocore's client gives them; every member must be the service's."""
    parser = EventStreamJSONParser()
    shape = SERVICE.operation_model("ConverseStream").output_shape.members["stream"]
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [parser.parse(message.to_response_dict(), shape) for message in buffer]


def framed(*events: tuple[str, dict[str, Any]]) -> bytes:
    """The bytes of a stream, which botocore reads as the same events."""
    data = b"".join(event(kind, json.dumps(said).encode()) for kind, said in events)
    assert [list(one) for one in read_by_botocore(data)] == [[kind] for kind, _ in events]
    return data
