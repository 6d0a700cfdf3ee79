"""The answers table's stream and the indexer, joined: what is stored reaches the index, and so every environment."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime
from itertools import count
from typing import Any

from subsecond.semantic.index import INDEXED
from subsecond_local.emulator.stream_feed import Feed, FunctionAway, FunctionFailed, Record, Shard, SourceAway
from subsecond_local.lambda_host import LambdaHost
from subsecond_local.lambda_host.invocation import ThrottledError
from subsecond_local.run import stores
from subsecond_local.run.children import StopRequested
from subsecond_local.run.gateways import Follow
from subsecond_local.run.stores import Stores

FUNCTION = "indexer"
# Seconds in which a batch on its way may end when the host does. It comes again otherwise.
STOPS_WITHIN = 1.5


class TableStream:
    """A table's stream by boto3, which is blocking: one thread uses it."""

    def __init__(self, where: Stores, *, whole: bool) -> None:
        """whole: what the table holds comes as records too."""
        self._table = where.answers_table
        self._whole = whole
        self._dynamodb = where.dynamodb()
        self._streams = where.streams()

    def close(self) -> None:
        self._dynamodb.close()
        self._streams.close()

    def shards(self) -> Sequence[Shard]:
        with _in_reach():
            arn = self._arn()
            request = {"StreamArn": arn}
            shards: list[Shard] = []
            while True:
                found = self._streams.describe_stream(**request)["StreamDescription"]
                shards += [Shard(shard["ShardId"], shard.get("ParentShardId")) for shard in found["Shards"]]
                if "LastEvaluatedShardId" not in found:
                    return shards
                request["ExclusiveStartShardId"] = found["LastEvaluatedShardId"]

    def oldest(self, shard: str) -> str:
        with _in_reach():
            found = self._streams.get_shard_iterator(
                StreamArn=self._arn(), ShardId=shard, ShardIteratorType="TRIM_HORIZON"
            )
        iterator: str = found["ShardIterator"]
        return iterator

    def read(self, iterator: str, limit: int) -> tuple[Sequence[Record], str | None]:
        with _in_reach():
            found = self._streams.get_records(ShardIterator=iterator, Limit=limit)
        return [plain(record) for record in found["Records"]], found.get("NextShardIterator")

    def stored(self) -> Iterator[Sequence[Record]]:
        if not self._whole:
            return
        numbers = count(1)
        with _in_reach():
            pages = self._dynamodb.get_paginator("scan").paginate(
                TableName=self._table,
                FilterExpression="attribute_exists(vector) AND #expires > :now",
                ProjectionExpression=",".join(f"#{name}" for name in INDEXED),
                ExpressionAttributeNames={f"#{name}": name for name in INDEXED},
                ExpressionAttributeValues={":now": {"N": str(int(time.time()))}},
            )
            for page in pages:
                yield [
                    {
                        "eventName": "INSERT",
                        "eventSource": "aws:dynamodb",
                        "dynamodb": {"SequenceNumber": f"stored-{next(numbers)}", "NewImage": plain(item)},
                    }
                    for item in page["Items"]
                ]

    def _arn(self) -> str:
        found = self._dynamodb.describe_table(TableName=self._table)["Table"]
        if "LatestStreamArn" not in found:
            raise SourceAway(f"the table {self._table} has no stream")
        return found["LatestStreamArn"]


def plain(value: Any) -> Any:
    """As it stands in a function's event: bytes in base64, times in seconds."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.timestamp() if isinstance(value, datetime) else value


@contextmanager
def _in_reach() -> Iterator[None]:
    """boto3's errors become SourceAway."""
    from botocore.exceptions import BotoCoreError, ClientError  # 0.3 s, in the feed's thread

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise SourceAway(error) from error


@asynccontextmanager
async def indexed(host: LambdaHost, environ: Mapping[str, str], follow: Follow) -> AsyncGenerator[None]:
    """Inside, the host's indexer gets what the answers table's stream tells."""
    if follow == "nothing":
        yield
        return
    where = stores.stores_from_env(environ, environ.get("AWS_ENDPOINT_URL") or None, emulated=False)
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def invoke(event: Mapping[str, Any]) -> Any:
        return _result(host, loop, event)

    def rest(seconds: float) -> None:
        if stop.wait(seconds):
            raise StopRequested

    def run() -> None:
        with closing(TableStream(where, whole=follow == "table")) as stream:
            Feed(stream, invoke, rest, lambda line: print(line, flush=True)).run()

    # A daemon: nobody waits for a call that hangs.
    thread = threading.Thread(target=run, name="indexing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join, STOPS_WITHIN)


def _result(host: LambdaHost, loop: asyncio.AbstractEventLoop, event: Mapping[str, Any]) -> Any:
    """What the indexer returns. Called from the feed's thread."""
    try:
        result = asyncio.run_coroutine_threadsafe(host.invoke(FUNCTION, event), loop).result()
    except (ThrottledError, CancelledError) as error:
        raise FunctionAway(type(error).__name__) from error
    if result.failed:
        raise FunctionFailed(result.payload.decode(errors="replace")[:200])
    return json.loads(result.payload)
