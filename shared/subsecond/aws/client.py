"""The one way to AWS. Its clients are blocking, so their calls run in a small bounded pool of threads.

In a function the tables and the bucket are reached by the wire (`wire.py`): boto3 is two fifths of a cold start. It is
what reaches them everywhere else, and what reaches everything else.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from subsecond.aws.access import WireError, access_of
from subsecond.aws.signing import Signer
from subsecond.config import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from subsecond.aws.dynamodb_wire import DynamoWire
    from subsecond.config import Settings

T = TypeVar("T")

_shared: dict[Settings, Aws] = {}


def aws_of(settings: Settings) -> Aws:
    """The one `Aws` of these settings: every adapter shares its threads, clients and connections."""
    aws = _shared.get(settings)
    if aws is None:
        aws = _shared[settings] = Aws(settings)
    return aws


class Aws:
    """Low-level clients and the threads that may use them.

    `dynamodb`, `s3`, `bedrock` and `functions` are made at first use, which loads boto3 and the service's model (0.2 to
    0.6 s) unless the wire has them. So touch them inside the callable only: `await aws.run(lambda:
    aws.dynamodb.get_item(...))`. Region, endpoint and credentials come from boto3's own variables (`AWS_REGION`,
    `AWS_ENDPOINT_URL`, ...).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.store_threads, thread_name_prefix="aws")
        # Making a client is not thread-safe in botocore (using one is).
        self._lock = Lock()
        self._clients: dict[str, Any] = {}
        self._session: Any = None
        # How a function reaches AWS without boto3; None elsewhere.
        self._access = access_of(environment())

    @property
    def dynamodb(self) -> DynamoDBClient:
        if self._access is None:
            return cast("DynamoDBClient", self._boto3("dynamodb"))
        return cast("DynamoDBClient", self._clients.get("dynamodb wire") or self._wired("dynamodb"))

    @property
    def s3(self) -> S3Client:
        if self._access is None:
            return cast("S3Client", self._boto3("s3"))
        return cast("S3Client", self._clients.get("s3 wire") or self._wired("s3"))

    @property
    def bedrock(self) -> Any:
        """bedrock-runtime; its types would be one more package for one call."""
        return self._boto3("bedrock-runtime")

    @property
    def functions(self) -> Any:
        """lambda; as above."""
        return self._boto3("lambda")

    def signer(self, service: str, region: str) -> Signer:
        """For requests that boto3 does not send. Blocking, like the clients. region: empty for the session's own. The
        address is what boto3 would ask: `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` and the like count. Raises `errors`."""
        if self._access is not None:
            place = region or self._access.region
            return Signer(self._access.credentials, self._access.url(service, place), service, place)
        client = self._made(service, region)
        credentials = self._session.get_credentials()
        return Signer(credentials, client.meta.endpoint_url, service, client.meta.region_name)

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a call raises that AWS refuses, or that does not reach it; `code_of` says why."""
        if self._access is not None and self._session is None:
            return (WireError,)  # nothing else was asked, and botocore's errors would take 50 ms
        from botocore.exceptions import BotoCoreError, ClientError

        return WireError, BotoCoreError, ClientError

    def prepare(self) -> None:
        """Make the client of the tables; by the wire its connection opens meanwhile, in a thread."""
        client = self.dynamodb
        if self._access is not None:
            self._pool.submit(cast("DynamoWire", client).open)

    def hang_up(self) -> None:
        """Close every connection; the next call opens a new one."""
        for client in self._clients.values():
            client.close()

    async def run(self, call: Callable[[], T]) -> T:
        """The call's result, or what it raised. When the waiter is cancelled, a call that has begun runs on alone."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Give up what is waiting, wait for what is running (bounded by the time limits), close the connections."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if _shared.get(self._settings) is self:
            del _shared[self._settings]

    def _wired(self, service: str) -> Any:
        """The calls that requests make; all others through boto3."""
        assert self._access is not None
        with self._lock:
            if (name := f"{service} wire") not in self._clients:
                others, timeout = partial(self._boto3, service), self._settings.store_timeout
                if service == "dynamodb":
                    from subsecond.aws.dynamodb_wire import DynamoWire  # a process without it has none

                    self._clients[name] = DynamoWire(self._access, timeout, others)
                else:
                    from subsecond.aws.s3_wire import S3Wire

                    self._clients[name] = S3Wire(self._access, self._settings.bucket, timeout, others)
            return self._clients[name]

    def _boto3(self, service: str) -> Any:
        return self._clients.get(service) or self._made(service, "")

    def _made(self, service: str, region: str) -> Any:
        name = f"{service}/{region}" if region else service
        with self._lock:
            if name not in self._clients:
                import boto3  # 0.4 s of CPU that an environment without AWS stores never pays
                from botocore.config import Config

                self._session = self._session or boto3.session.Session()
                self._clients[name] = self._session.client(
                    service,
                    region_name=region or None,
                    config=Config(
                        max_pool_connections=self._settings.store_threads,
                        connect_timeout=self._settings.store_timeout,
                        read_timeout=self._settings.store_timeout,
                        retries={"total_max_attempts": 2, "mode": "standard"},
                        tcp_keepalive=True,
                        # A third of the CPU of a GET (8 MB: 6.5 ms, without it 4.3). What is read has its own check:
                        # SHA-256 in the index, Adler-32 in an answer.
                        response_checksum_validation="when_required",
                    ),
                )
            return self._clients[name]


def code_of(error: Exception) -> str:
    """The service's code of one of `Aws.errors` (`ThrottlingException`), or its type. Its message may quote names."""
    response: dict[str, dict[str, str]] | None = getattr(error, "response", None)
    return response["Error"]["Code"] if response else type(error).__name__
