"""The calls of S3 that requests make, under the names and with the values of boto3's client."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from subsecond.aws.access import Access, WireError
from subsecond.aws.wire import Answer, Rest, Wire

CODE = re.compile(rb"<Code>(\w+)</Code>")
OK = 200
CONDITIONS = {"IfNoneMatch": "if-none-match", "IfMatch": "if-match"}


class NoSuchKey(WireError):
    """There is no such object."""


class S3Wire(Rest):
    """To one bucket. `boto3`: makes the client that has all other calls."""

    exceptions = SimpleNamespace(ClientError=WireError, NoSuchKey=NoSuchKey)

    def __init__(self, access: Access, bucket: str, timeout: float, boto3: Callable[[], Any]) -> None:
        super().__init__(boto3)
        url = access.url("s3", access.region)
        # A bucket's name in front of another endpoint is no host; with a dot in it TLS knows no certificate for it.
        named = not access.endpoint("s3") and "." not in bucket
        self._root = "" if named else f"/{bucket}"
        self._wire = Wire(access, "s3", url.replace("://", f"://{bucket}.") if named else url, timeout)
        self.open, self.close = self._wire.open, self._wire.close

    # boto3's names.
    def get_object(self, *, Bucket: str, Key: str, IfNoneMatch: str = "") -> dict[str, Any]:  # noqa: N803 -- above
        answer = self._called("GET", Bucket, Key, {"if-none-match": IfNoneMatch})
        return {"ETag": answer.headers["etag"], "Body": BytesIO(answer.body)}

    def put_object(self, **call: Any) -> dict[str, Any]:
        conditions = {name: call.get(theirs, "") for theirs, name in CONDITIONS.items()}
        answer = self._called("PUT", call["Bucket"], call["Key"], conditions, call["Body"])
        return {"ETag": answer.headers["etag"]}

    def _called(self, method: str, bucket: str, key: str, conditions: dict[str, str], content: bytes = b"") -> Answer:
        del bucket  # the one that it was made for
        fields = {name: value for name, value in conditions.items() if value}
        fields["x-amz-content-sha256"] = sha256(content).hexdigest()
        answer = self._wire.ask(method, f"{self._root}/{quote(key, safe='/~')}", fields, content)
        if answer.status != OK:
            raise _refusal(answer)
        return answer


def _refusal(answer: Answer) -> WireError:
    found = CODE.search(answer.body)
    code = found[1].decode() if found else str(answer.status)
    return (NoSuchKey if code == "NoSuchKey" else WireError)(code)
