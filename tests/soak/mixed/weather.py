"""The phases of a mixed soak: every store and the upstream taken away in turn, in every way, and calm between."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.fault_proxy import NETWORK, FaultProxy, response

UNAVAILABLE = frozenset({503})
# Of an upstream that cannot answer: its own 429 and 500, and what the gateway makes of silence, rubbish and no answer.
NO_MODEL = frozenset({429, 500, 502, 503, 504})
_ERROR = b'{"error":{"message":"It is broken.","type":"server_error","code":"broken"}}'
_EVENTS = "text/event-stream"
_STRANGE = b'{"Item":{"pk":{"S":"x"}},"Items":[{"pk":{"S":"x"}}],"Attributes":{}}'
_HALF = b'{"id":"chatcmpl-lie00000001","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role"'


def _amazon(status: str, code: str) -> bytes:
    return response(status, b'{"__type":"com.amazonaws#%b","message":"No."}' % code.encode())


def _s3(status: str, code: str) -> bytes:
    return response(status, f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode(), kind="text/xml")


NONSENSE = (b"\x00\xff\x15 no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{")
REPLIES = {
    "dynamodb": {
        "5xx": (_amazon("500 No", "InternalServerError"), _amazon("503 No", "ServiceUnavailable")),
        "throttled": (
            _amazon("400 No", "ProvisionedThroughputExceededException"),
            _amazon("400 No", "ThrottlingException"),
        ),
        "garbage": (*NONSENSE, response("200 OK", b'{"Item":5,"Items":{"pk":[1]}}'), response("200 OK", _STRANGE)),
    },
    "s3": {
        "5xx": (_s3("500 No", "InternalError"), _s3("503 No", "ServiceUnavailable")),
        "throttled": (_s3("503 No", "SlowDown"),),
        "garbage": (*NONSENSE, response("200 OK", b'{"manifest":7}'), response("200 OK", b"\x93NUMPY\x01\x00")),
    },
    "upstream": {
        "5xx": (response("500 No", _ERROR), response("502 No", b"<html>no JSON</html>", kind="text/html")),
        "throttled": (response("429 No", _ERROR, headers=("retry-after: 1",)),),
        "garbage": (*NONSENSE, response("200 OK", b"\xff\xfe{]"), response("200 OK", b"data: {]\n\n", kind=_EVENTS)),
        "lies": (
            response("200 OK", _ERROR),
            response("200 OK", b'{"id":"x","object":"chat.completion","choices":[]}'),
            response("200 OK", b"data: %b\n\n" % _ERROR, kind=_EVENTS),
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n" + _HALF,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + _HALF,
        ),
    },
}
# What an ordinary request may get beside 200 while it is away. Nobody is let in whose key cannot be read.
MAY_SAY = {"dynamodb": UNAVAILABLE, "s3": frozenset(), "upstream": NO_MODEL}


@dataclass(frozen=True, slots=True)
class Phase:
    """A service and what it meets; both empty: calm."""

    service: str = ""
    fault: str = ""

    def __str__(self) -> str:
        return f"{self.service} {self.fault}" if self.service else "calm"

    @property
    def may_say(self) -> frozenset[int]:
        return MAY_SAY.get(self.service, frozenset())


def phases() -> list[Phase]:
    """One round."""
    found = []
    for service, replies in REPLIES.items():
        found += [Phase(), *(Phase(service, fault) for fault in (*NETWORK, *replies))]
    return [*found, Phase()]


def proxies(targets: dict[str, int]) -> dict[str, FaultProxy]:
    """One before each service. targets: their ports."""
    return {service: FaultProxy(targets[service], replies) for service, replies in REPLIES.items()}
