"""Calls of AWS over the standard library's HTTP client, blocking, for the threads of `Aws.run`.

boto3 loads 303 modules and a description of the whole service before its first call: 160 ms of processor time, two
fifths of a cold start. A function's hot path needs six calls of DynamoDB and two of S3, and its credentials lie in its
environment. `dynamodb_wire` and `s3_wire` give those calls under boto3's names, and take all else from boto3.
"""

from __future__ import annotations

import http.client
import random
import re
import select
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from subsecond.aws.access import Access, WireError
from subsecond.aws.signing import Signer
from subsecond.clock import within

# As boto3 has it here: one more attempt, after a pause of up to so many seconds.
ATTEMPTS = 2
PAUSE = 0.05
THROTTLED = re.compile(rb"ThrottlingException|ProvisionedThroughputExceededException|RequestLimitExceeded|SlowDown")
REFUSED, FAULTS = 400, 500
# Seconds that an unused connection is kept, by the wall clock: see `upstreams/http/transport.py`.
KEEP = 55.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Wire:
    """Kept connections to one service, used from several threads. timeout: seconds for a connection, and a reply."""

    def __init__(self, access: Access, service: str, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._address = parts.hostname or "", parts.port
        self._timeout = timeout
        self._secure = parts.scheme == "https"
        self._tls: ssl.SSLContext | None = None
        self._signer = Signer(access.credentials, url, service, access.region)
        # Each with when it was last used. That one is used first: the likeliest to live.
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()

    def ask(self, method: str, path: str, fields: Mapping[str, str], content: bytes = b"") -> Answer:
        """The answer, whatever its status. Raises WireError when none came. Sent twice at the most, as boto3 does it:
        each call here may be."""
        for left in reversed(range(ATTEMPTS)):
            try:
                answer = self._asked(method, path, fields, content)
            except (OSError, http.client.HTTPException) as error:
                if not left:
                    raise WireError(type(error).__name__, str(error)) from error
            else:
                if not left or not self.passes(answer):
                    return answer
            time.sleep(random.uniform(0, PAUSE))
        raise AssertionError

    def passes(self, answer: Answer) -> bool:
        """Whether the same call may be answered otherwise in a moment."""
        return answer.status >= FAULTS or (answer.status >= REFUSED and bool(THROTTLED.search(answer.body)))

    def open(self) -> None:
        """A connection for a call to come. Raises OSError."""
        connection = self._new()
        connection.connect()
        self._keep(connection)

    def close(self) -> None:
        """Every connection that is not in use; the next call opens a new one."""
        while self._idle:
            self._idle.pop()[0].close()

    def _asked(self, method: str, path: str, fields: Mapping[str, str], content: bytes) -> Answer:
        connection = self._kept() or self._new()
        signed = self._signer.headers(method, path, content, {"host": self._host, **fields})
        try:
            connection.request(method, path, content or None, signed)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._keep(connection)
        return answer

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        self._idle.append((connection, time.time()))

    def _new(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(*self._address, timeout=self._timeout)
        # 20 ms of CPU, once: in the thread that opens the first connection.
        self._tls = self._tls or ssl.create_default_context()
        return http.client.HTTPSConnection(*self._address, timeout=self._timeout, context=self._tls)

    def _kept(self) -> http.client.HTTPConnection | None:
        """One that still lives: an end, or bytes that nobody asked for, show as readable. One that was long unused may
        be dead without a sign, and would cost a time limit."""
        while self._idle:
            try:
                connection, used = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            if within(used, KEEP, time.time()) and not poll.poll(0):
                return connection
            connection.close()
        return None


class Rest:
    """What `boto3` has and the wire has not: made when it is first asked for."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client(), name)
