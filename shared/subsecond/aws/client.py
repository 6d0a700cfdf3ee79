"""The one way to AWS: boto3 is blocking, so its calls run in a small bounded pool of threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

    from subsecond.aws.signing import Signer
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
    """boto3's low-level clients and the threads that may use them.

    `dynamodb`, `s3`, `bedrock` and `functions` are made at first use, which loads boto3 and the service's model (0.2 to
    0.6 s). So touch them inside the callable only: `await aws.run(lambda: aws.dynamodb.get_item(...))`.
    Region, endpoint and credentials come from boto3's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.store_threads, thread_name_prefix="aws")
        # Making a client is not thread-safe in botocore (using one is).
        self._lock = Lock()
        self._clients: dict[str, Any] = {}
        self._session: Any = None

    @property
    def dynamodb(self) -> DynamoDBClient:
        client: DynamoDBClient = self._clients.get("dynamodb") or self._make("dynamodb")
        return client

    @property
    def s3(self) -> S3Client:
        client: S3Client = self._clients.get("s3") or self._make("s3")
        return client

    @property
    def bedrock(self) -> Any:
        """bedrock-runtime; its types would be one more package for one call."""
        return self._clients.get("bedrock-runtime") or self._make("bedrock-runtime")

    @property
    def functions(self) -> Any:
        """lambda; as above."""
        return self._clients.get("lambda") or self._make("lambda")

    def signer(self, service: str, region: str) -> Signer:
        """For requests that boto3 does not send. Blocking, like the clients. region: empty for the session's own. The
        address is what boto3 would ask: `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` and the like count. Raises `errors`."""
        from subsecond.aws.signing import Signer  # noqa: PLC0415 -- as `_make`

        client = self._made(service, region)
        credentials = self._session.get_credentials()
        signing_name = client.meta.service_model.signing_name
        return Signer(credentials, client.meta.endpoint_url, signing_name, client.meta.region_name)

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a call raises that AWS refuses, or that does not reach it; `code_of` says why."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- as `_make`

        return BotoCoreError, ClientError

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

    def _make(self, service: str) -> Any:
        return self._made(service, "")

    def _made(self, service: str, region: str) -> Any:
        name = f"{service}/{region}" if region else service
        with self._lock:
            if name not in self._clients:
                import boto3  # noqa: PLC0415 -- 0.4 s of CPU that an environment without AWS stores never pays
                from botocore.config import Config  # noqa: PLC0415

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
