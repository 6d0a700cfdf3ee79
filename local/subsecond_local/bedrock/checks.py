"""What Bedrock checks before it answers: the signature, by signing again, and the request's shape, by botocore's own
model of the service."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from binascii import Error
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

OPERATIONS: Mapping[str, str] = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
}
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/]+)/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[a-z-]+)/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


class Refused(Exception):
    """An exception of Bedrock's, by its name. after: seconds that `retry-after` says."""

    def __init__(self, name: str, message: str, status: int = 400, after: str | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.status = status
        self.after = after


class _Resigned(SigV4Auth):
    """Signs with the time and the headers of the request that is checked."""

    def __init__(self, credentials: Credentials, region: str, names: list[str]) -> None:
        super().__init__(credentials, "bedrock", region)
        self._names = names

    def signature_of(self, request: AWSRequest, timestamp: str) -> str:
        request.context["timestamp"] = timestamp
        text = self.string_to_sign(request, self.canonical_request(request))
        return str(self.signature(text, request))

    def headers_to_sign(self, request: AWSRequest) -> Any:
        headers = super().headers_to_sign(request)
        for name in [name for name in headers if name.lower() not in self._names]:
            del headers[name]
        return headers


def check_signature(method: str, target: str, headers: Mapping[str, str], body: bytes, key: tuple[str, str]) -> str:
    """The region that the request is signed for. target: the path as it came. Refused."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
    if found["id"] != key[0]:
        raise Refused("UnrecognizedClientException", "The security token included in the request is invalid.", 403)
    names = found["names"].split(";")
    request = AWSRequest(method, f"http://{headers['host']}{target}", data=body)
    for name in names:
        request.headers[name] = headers.get(name, "")
    resigned = _Resigned(Credentials(*key, token=headers.get("x-amz-security-token")), found["region"], names)
    expected = resigned.signature_of(request, headers.get("x-amz-date", ""))
    if found["service"] != "bedrock" or "host" not in names or not hmac.compare_digest(expected, found["signature"]):
        text = "The request signature we calculated does not match the signature you provided."
        raise Refused("InvalidSignatureException", text, 403)
    return found["region"]


def check_shape(operation: str, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The request's members as botocore's client would be given them. Refused where they do not fit the service's
    model; so is a member that it does not know, which Bedrock refuses too."""
    shape = _model().operation_model(operation).input_shape
    given = _decoded(shape, body) | {"modelId": unquote(model)}
    report = ParamValidator().validate(given, shape)
    if report.has_errors():
        raise Refused("ValidationException", report.generate_report())
    unknown = sorted(set(given) - set(shape.members))
    if unknown:
        raise Refused("ValidationException", f"Unknown fields: {', '.join(unknown)}")
    return dict(given)


@cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def _decoded(shape: Any, value: Any) -> Any:
    """Blobs are base64 on the wire and bytes in Python."""
    if shape.type_name == "blob" and isinstance(value, str):
        try:
            return b64decode(value, validate=True)
        except Error:
            raise Refused("ValidationException", "A blob is not base64.") from None
    if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        members = shape.members
        return {name: _decoded(members[name], one) if name in members else one for name, one in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_decoded(shape.member, one) for one in value]
    return value
