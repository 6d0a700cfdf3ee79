"""Statistics in the state table: pk `stats#<partition>`, sk the sheet, one number attribute for each figure, `ttl`.

Environments only ever ADD, so they need not know of each other. An update whose reply was lost is sent again, so a
figure can be counted twice then: the price of not paying twice for each (a transaction could tell).
"""

from __future__ import annotations

import calendar
import logging
import time
from itertools import islice
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any

from subsecond.aws import Aws, aws_of
from subsecond.stats.figures import HOUR, LIVE, hour_of
from subsecond.stats.summary import HOURS, oldest_sheets, summarise
from subsecond.stats.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from subsecond.config import Settings
    from subsecond.stats.trace import Trace

log = logging.getLogger("subsecond")

DAY = 24 * HOUR
# Seconds after the end of a sheet's hour; expired answers can be counted no longer.
KEPT, KEPT_LIVE = 90 * DAY, DAY
# Figures in one update: an expression may have 4 KB and 300 operators; a figure takes one and at most 8 bytes.
AT_ONCE = 100
# Figures that wait while the table cannot be reached (about 10 MB), and the longest pause between two attempts.
MOST_WAITING = 50_000
LONGEST_PAUSE = 60.0


class DynamoLedger:
    """`interval`: seconds between two merges. `clock`: epoch seconds.

    failures: merges that the table refused or did not answer, tried again later. lost: figures given up, because the
    table calls them malformed or too many wait.
    """

    def __init__(self, aws: Aws, table: str, interval: float, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._interval = self._pause = interval
        self._clock = clock
        self._tally = Tally()
        self._merged = -inf
        # Held by the thread that merges: what it holds is in neither place.
        self._merging = Lock()
        self.failures = 0
        self.lost = 0

    def record(self, trace: Trace) -> None:
        self._tally.record(trace, self._clock())

    async def flush(self, *, force: bool = False) -> None:
        """One thread does it all, so a caller that stops waiting leaves nothing half counted."""
        now = self._clock()
        if len(self._tally) and (force or not 0 <= now - self._merged < self._pause):
            self._merged = now
            await self._aws.run(self._merge)

    async def summary(self, partition: str, hours: int = HOURS) -> Mapping[str, Any]:
        """`complete` is False when the table could not be read: then only this environment is sure to be in it."""
        now = self._clock()
        sheets, complete = await self._aws.run(lambda: self._read(partition, now, hours))
        return summarise(sheets, now, hours, complete=complete)

    def _merge(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- boto3 loads in the pool only

        with self._merging:
            sheets = self._tally.take()
            try:
                for place in list(sheets):
                    self._write(*place, sheets[place])
                    del sheets[place]
                self._pause = self._interval
            except (BotoCoreError, ClientError) as error:
                self.failures += 1
                self._pause = min(LONGEST_PAUSE, 2 * max(self._pause, 1.0))
                log.warning("statistics wait: %s", type(error).__name__)
            finally:
                self._tally.add(sheets)
                self.lost += self._tally.shrink(MOST_WAITING)

    def _write(self, partition: str, sheet: str, sums: dict[str, int]) -> None:
        """Add the sums to the sheet's item; each is gone from `sums` once it is there."""
        client = self._aws.dynamodb
        while part := dict(islice(sums.items(), AT_ONCE)):
            added = {name: n for name, n in part.items() if n}
            try:
                if added:
                    client.update_item(TableName=self._table, **_update(partition, sheet, added))
            except client.exceptions.ClientError as error:
                if error.response["Error"]["Code"] != "ValidationException":
                    raise
                # Malformed now is malformed for ever, and must not hold up the rest.
                self.lost += len(part)
            for name in part:
                del sums[name]

    def _read(self, partition: str, now: float, hours: int) -> tuple[list[tuple[str, dict[str, int]]], bool]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        figures, live = oldest_sheets(now, hours)
        with self._merging:
            found = self._tally.of(partition)
            try:
                found += self._query(partition, figures, hour_of(now + HOUR))
                found += self._query(partition, live, LIVE + "~")
            except (BotoCoreError, ClientError):
                return found, False
        return found, True

    def _query(self, partition: str, first: str, last: str) -> list[tuple[str, dict[str, int]]]:
        pages = self._aws.dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={":pk": {"S": _pk(partition)}, ":first": {"S": first}, ":last": {"S": last}},
            ConsistentRead=True,
        )
        return [(item["sk"]["S"], _sums(item)) for page in pages for item in page["Items"]]


def _pk(partition: str) -> str:
    return f"stats#{partition}"


def _update(partition: str, sheet: str, sums: Mapping[str, int]) -> dict[str, Any]:
    values = {f":{at}": {"N": str(n)} for at, n in enumerate(sums.values())}
    return {
        "Key": {"pk": {"S": _pk(partition)}, "sk": {"S": sheet}},
        "UpdateExpression": "SET #ttl = :ttl ADD " + ",".join(f"#{at} :{at}" for at in range(len(sums))),
        "ExpressionAttributeNames": {"#ttl": "ttl", **{f"#{at}": name for at, name in enumerate(sums)}},
        "ExpressionAttributeValues": {":ttl": {"N": str(_ttl(sheet))}, **values},
    }


def _ttl(sheet: str) -> int:
    hour = calendar.timegm(time.strptime(sheet.removeprefix(LIVE)[:10], "%Y%m%d%H"))
    return hour + HOUR + (KEPT_LIVE if sheet.startswith(LIVE) else KEPT)


def _sums(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value["N"]) for name, value in item.items() if "|" in name}


def build(settings: Settings) -> DynamoLedger:
    return DynamoLedger(aws_of(settings), settings.state_table, settings.flush_interval)
