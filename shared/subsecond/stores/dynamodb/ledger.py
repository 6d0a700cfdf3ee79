"""Statistics in the state table: pk `stats#<partition>`, sk the rollup, one number attribute for each figure, `ttl`.

Beside them: sk `recent#<slot>`, what an environment has to show (`highlights.py`), and pk `stats#<tenant>`, sk
`namespaces`: a set of those that were ever asked in.

Environments only ever ADD, so they need not know of each other. An update whose reply was lost is sent again, so a
figure can be counted twice then: the price of not paying twice for each (a transaction could tell).
"""

from __future__ import annotations

import calendar
import json
import logging
import time
from functools import partial
from itertools import islice
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

from subsecond.aws.client import Aws, aws_of, code_of
from subsecond.stats.counters import Counters
from subsecond.stats.highlights import KEPT as KEPT_RECENT
from subsecond.stats.highlights import Highlights, merged
from subsecond.stats.increments import HOUR, LIVE, hour_of
from subsecond.stats.summary import HOURS, oldest_rollups, summarise
from subsecond.stats.tenants import MOST, is_tenant, overall, tenant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from subsecond.config import Settings
    from subsecond.stats.trace import Trace

log = logging.getLogger("subsecond")

DAY = 24 * HOUR
# Seconds after the end of a rollup's hour; expired answers can be counted no longer.
KEPT, KEPT_LIVE = 90 * DAY, DAY
# Figures in one update: an expression may have 4 KB and 300 operators; a figure takes one and at most 8 bytes.
AT_ONCE = 100
# Figures that wait while the table cannot be reached (about 10 MB), and the longest pause between two attempts.
MOST_WAITING = 50_000
LONGEST_PAUSE = 60.0
# Seconds for which a reader, or the next merge, waits for a merge. That is a call to the table for each 100 figures:
# with a slow one whoever waited held a thread for as long, and a request for the statistics had no answer in 30 s.
LONGEST_WAIT = 2.0
RECENT, NAMESPACES = "recent#", "namespaces"
# What the table will never take, and must not hold up the rest.
MALFORMED = "ValidationException"

Rollups: TypeAlias = "list[tuple[str, dict[str, int]]]"


class DynamoLedger:
    """`interval`: seconds between two merges. `clock`: epoch seconds.

    failures: merges that the table refused or did not answer, tried again later. lost: counts given up, because the
    table calls them malformed or too many wait.
    """

    def __init__(self, aws: Aws, table: str, interval: float, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._interval = self._pause = interval
        self._clock = clock
        self._counters = Counters()
        self._highlights = Highlights()
        # Namespaces that are in their tenant's set, as far as this environment has seen to it.
        self._listed: set[str] = set()
        self._merged = -inf
        # Held by the thread that merges: what it has taken is in neither the counters nor the table.
        self._merging = Lock()
        self.failures = 0
        self.lost = 0

    def record(self, trace: Trace) -> None:
        now = self._clock()
        self._counters.record(trace, now)
        self._highlights.record(trace, now)

    async def flush(self, *, force: bool = False) -> None:
        """One thread does it all, so a caller that stops waiting leaves nothing half counted."""
        now = self._clock()
        if len(self._counters) and (force or not 0 <= now - self._merged < self._pause):
            self._merged = now
            await self._aws.run(partial(self._merge, -1 if force else LONGEST_WAIT))

    async def summary(self, partition: str, hours: int = HOURS) -> Mapping[str, Any]:
        """`complete` is False when the table could not be read, or a merge lasted too long: then only this environment
        is sure to be in it, and of it not what is being merged."""
        now = self._clock()
        if is_tenant(partition):
            return await self._aws.run(lambda: self._overall(partition, now, hours))
        rollups, complete = await self._aws.run(lambda: self._read(partition, now, hours))
        recent = await self._aws.run(lambda: self._recent(partition))
        return summarise(rollups, now, hours, complete=complete) | merged(recent, now)

    def _merge(self, longest: float) -> None:
        """longest: seconds to wait for another one, -1 for its end; else what is counted stays for the next."""
        if self._merging.acquire(timeout=longest):
            try:
                self._write_counted()
            finally:
                self._merging.release()

    def _write_counted(self) -> None:
        rollups = self._counters.take()
        try:
            for key in list(rollups):
                self._write(*key, rollups[key])
                del rollups[key]
            self._show()
            self._pause = self._interval
        except self._aws.errors as error:
            self.failures += 1
            self._pause = min(LONGEST_PAUSE, 2 * max(self._pause, 1.0))
            log.warning("statistics wait: %s", code_of(error))
        finally:
            self._counters.add(rollups)
            self.lost += self._counters.shrink(MOST_WAITING)

    def _show(self) -> None:
        """Write what this environment has to show, over what stood in its slot."""
        found = self._highlights.take()
        try:
            for partition in list(found):
                text = json.dumps(found[partition], separators=(",", ":"))
                expiry = int(self._clock() + KEPT_RECENT)
                try:
                    self._put(_pk(partition), f"{RECENT}{self._highlights.slot:02d}", {"doc": {"S": text}}, expiry)
                except self._aws.dynamodb.exceptions.ClientError as error:
                    if code_of(error) != MALFORMED:
                        raise
                del found[partition]
        finally:
            self._highlights.give_back(found)

    def _put(self, pk: str, sk: str, values: Mapping[str, Any], expiry: int) -> None:
        # An update, because the functions may write nothing else here.
        [(name, value)] = values.items()
        self._aws.dynamodb.update_item(
            TableName=self._table,
            Key={"pk": {"S": pk}, "sk": {"S": sk}},
            UpdateExpression="SET #ttl = :ttl, #name = :value" if "S" in value else "SET #ttl = :ttl ADD #name :value",
            ExpressionAttributeNames={"#ttl": "ttl", "#name": name},
            ExpressionAttributeValues={":ttl": {"N": str(expiry)}, ":value": value},
        )

    def _list(self, partition: str) -> None:
        """Note the namespace with its tenant: once in an environment."""
        if partition in self._listed or is_tenant(partition):
            return
        tenant, _, namespace = partition.partition(":")
        self._put(_pk(tenant), NAMESPACES, {"names": {"SS": [namespace]}}, int(self._clock()) + KEPT)
        self._listed.add(partition)

    def _write(self, partition: str, rollup: str, sums: dict[str, int]) -> None:
        """Add the sums to the rollup's item; each is gone from `sums` once it is there."""
        self._list(partition)
        client = self._aws.dynamodb
        while part := dict(islice(sums.items(), AT_ONCE)):
            added = {name: n for name, n in part.items() if n}
            try:
                if added:
                    client.update_item(TableName=self._table, **_update(partition, rollup, added))
            except client.exceptions.ClientError as error:
                if code_of(error) != MALFORMED:
                    raise
                # Malformed now is malformed for ever, and must not hold up the rest.
                self.lost += len(part)
            for name in part:
                del sums[name]

    def _read(self, partition: str, now: float, hours: int) -> tuple[Rollups, bool]:
        """What is counted, and whether that is all: not where the table cannot be read or a merge lasts too long."""
        counts, live = oldest_rollups(now, hours)
        alone = self._merging.acquire(timeout=LONGEST_WAIT)
        try:
            found = self._counters.of(partition)
            for first, last in ((counts, hour_of(now + HOUR)), (live, LIVE + "~")):
                found += [(item["sk"]["S"], _sums(item)) for item in self._query(partition, first, last)]
        except self._aws.errors:
            return found, False
        finally:
            if alone:
                self._merging.release()
        return found, alone

    def _recent(self, partition: str) -> list[dict[str, Any]]:
        """What the environments have to show: this one's from memory, the others' where they can be read."""
        try:
            items = list(self._query(partition, RECENT, RECENT + "~"))
        except self._aws.errors:
            items = []
        found = [json.loads(item["doc"]["S"]) for item in items]
        return [self._highlights.of(partition), *(one for one in found if one["id"] != self._highlights.id)]

    def _overall(self, tenant: str, now: float, hours: int) -> Mapping[str, Any]:
        owned = {name for name in self._counters.partitions() if name != tenant and tenant_of(name) == tenant}
        complete = True
        try:
            for item in self._query(tenant, NAMESPACES, NAMESPACES):
                owned |= {f"{tenant}:{name}" for name in item["names"]["SS"]}
        except self._aws.errors:
            complete = False
        found = {}
        # One more than are added up, so that it shows that there are more.
        for name in sorted(owned)[: MOST + 1]:
            found[name], was_read = self._read(name, now, hours)
            complete = complete and was_read
        return overall(found, now, hours, complete=complete)

    def _query(self, partition: str, first: str, last: str) -> Iterator[dict[str, Any]]:
        pages = self._aws.dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={":pk": {"S": _pk(partition)}, ":first": {"S": first}, ":last": {"S": last}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]


def _pk(partition: str) -> str:
    return f"stats#{partition}"


def _update(partition: str, rollup: str, sums: Mapping[str, int]) -> dict[str, Any]:
    values = {f":{at}": {"N": str(n)} for at, n in enumerate(sums.values())}
    return {
        "Key": {"pk": {"S": _pk(partition)}, "sk": {"S": rollup}},
        "UpdateExpression": "SET #ttl = :ttl ADD " + ",".join(f"#{at} :{at}" for at in range(len(sums))),
        "ExpressionAttributeNames": {"#ttl": "ttl", **{f"#{at}": name for at, name in enumerate(sums)}},
        "ExpressionAttributeValues": {":ttl": {"N": str(_ttl(rollup))}, **values},
    }


def _ttl(rollup: str) -> int:
    hour = calendar.timegm(time.strptime(rollup.removeprefix(LIVE)[:10], "%Y%m%d%H"))
    return hour + HOUR + (KEPT_LIVE if rollup.startswith(LIVE) else KEPT)


def _sums(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value["N"]) for name, value in item.items() if "|" in name}


def build(settings: Settings) -> DynamoLedger:
    return DynamoLedger(aws_of(settings), settings.state_table, settings.flush_interval)
