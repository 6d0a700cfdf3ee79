"""What every ledger promises. A new file in `stats/ledgers/` is tested here the day it appears."""

import json
import time
from collections import Counter

import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.stats.trace import Trace
from tests.support.adapters import engines, store

ADAPTERS = engines("ledger")
HOUR = 3_600


@pytest.fixture(params=ADAPTERS)
def ledger(request, aws_tables):
    settings = Settings(store_threads=1)
    yield store("ledger", request.param, settings)
    aws_of(settings).close()


@pytest.fixture(params=["in memory", "flushed", "half flushed"])
def counted(request, ledger):
    """`await counted(trace, ...)` is the summary of acme:prod after these, wherever they are meanwhile."""

    async def count(*traces):
        for at, trace in enumerate(traces):
            ledger.record(trace)
            if request.param == "half flushed" and at == 0:
                await ledger.flush(force=True)
        if request.param == "flushed":
            await ledger.flush(force=True)
        return await ledger.summary("acme:prod")

    return count


def trace(**given):
    return Trace(**{"partition": "acme:prod", "model": "m", "total": 0.5, **given})


def test_the_adapters_were_found():
    assert {"memory", "dynamodb"} <= set(ADAPTERS)


async def test_before_anything_happened_all_is_zero(counted):
    found = await counted()
    assert found["requests"] == found["misses"] == found["exact_cache_size"] == found["semantic_cache_size"] == 0
    assert found["hit_rate"] is None
    assert found["latencies"] == {}
    assert found["complete"]


async def test_requests_are_counted_by_what_became_of_them(counted):
    found = await counted(
        trace(source="upstream", cacheable=True, usage={"prompt_tokens": 3, "completion_tokens": 4}),
        trace(source="exact", cacheable=True),
        trace(source="exact", cacheable=True),
        trace(source="upstream"),
        trace(source="upstream", cacheable=True, error="UpstreamError", status=502, counts=Counter(exact_failed=1)),
        trace(error="InvalidRequest", status=400),
    )
    assert found["requests"] == 6
    assert found["hits"] == {"exact": 2, "semantic": 0, "coalesced": 0}
    assert (found["misses"], found["bypassed"], found["upstream_calls"], found["hit_rate"]) == (2, 1, 3, 0.5)
    assert found["errors"] == {"4xx": 1, "5xx": 1, "closed": 0}
    assert found["tokens"]["upstream"] == {"prompt": 3, "completion": 4}
    assert found["fail_open"] == {"exact": 1}


async def test_latencies_are_kept_by_source_and_model(counted):
    found = await counted(
        trace(source="upstream", model="slow", first=0.2, total=2.0),
        trace(source="upstream", model="fast", first=0.05, total=0.1),
        trace(source="exact", model="slow", first=0.002, total=0.003),
    )
    upstream = found["latencies"]["upstream"]
    assert upstream["models"]["slow"]["ttft_ms"]["p50"] == pytest.approx(200, rel=0.045)
    assert upstream["models"]["fast"]["total_ms"]["p99"] == pytest.approx(100, rel=0.045)
    assert upstream["all"]["total_ms"]["count"] == 2
    assert upstream["all"]["total_ms"]["mean"] == 1_050.0
    assert found["latencies"]["exact"]["models"]["slow"]["total_ms"]["p90"] == pytest.approx(3, rel=0.045)


async def test_live_answers_are_those_that_were_stored_and_not_replaced_and_have_not_expired(counted):
    now = time.time()
    found = await counted(
        trace(stored_expiry=now + 30 * HOUR),
        trace(stored_expiry=now + 40 * HOUR, replaced_expiry=now + 30 * HOUR),
        trace(stored_expiry=now + 5 * HOUR),
        trace(stored_expiry=now - 2 * HOUR),
    )
    assert found["exact_cache_size"] == 2


async def test_partitions_do_not_see_each_other(ledger, counted):
    ledger.record(trace(partition="acme:test"))
    assert (await counted(trace()))["requests"] == 1
    assert (await ledger.summary("acme:test"))["requests"] == 1


async def test_a_tenants_namespaces_add_up(ledger, counted):
    ledger.record(trace(partition="acme:test", source="exact"))
    ledger.record(trace(partition="acme-two:test"))
    await counted(trace(source="upstream", cacheable=True))
    found = await ledger.summary("acme")
    assert (found["requests"], found["hit_rate"], found["complete"]) == (2, 0.5, True)
    assert {name: part["requests"] for name, part in found["namespaces"].items()} == {"prod": 1, "test": 1}
    assert (await ledger.summary("nobody"))["requests"] == 0


async def test_the_last_semantic_hits_and_the_entries_that_answered_most_are_shown(ledger, counted):
    judged = [{"entry": "e1", "says": "hit", "reasons": ["near"]}]
    usage = {"total_tokens": 30}
    near = trace(source="semantic", model="m", neighbour="e1", similarity=0.91234, verdicts=judged, usage=usage)
    exact = [trace(source="exact", entry="e2", usage=usage) for _ in range(3)]
    found = await counted(
        near, *exact, trace(source="upstream"), trace(source="exact", partition="acme:test", entry="e")
    )
    [hit] = found["recent_hits"]
    assert (hit["request_id"], hit["entry"], hit["similarity"], hit["judged"]) == (
        near.request_id,
        "e1",
        0.9123,
        judged,
    )
    assert [(top["entry"], top["hits"], top["tokens_saved"]) for top in found["top_entries"]] == [
        ("e2", 3, 90),
        ("e1", 1, 30),
    ]


async def test_what_is_shown_is_bounded(ledger, counted):
    hits = [trace(source="semantic", neighbour=f"e{number}", similarity=0.9) for number in range(100)]
    found = await counted(*hits)
    assert 10 <= len(found["recent_hits"]) <= 20
    assert hits[-1].request_id in [hit["request_id"] for hit in found["recent_hits"]]
    assert len(found["top_entries"]) <= 20


async def test_no_trace_is_too_odd_to_be_recorded(counted):
    found = await counted(
        Trace(),
        trace(model=["not", "a", "name"], source="upstream"),
        trace(model="\ud800", source="upstream", first=0.0),
        trace(model="m" * 10_000, source="upstream", first=-1.0),
        trace(model="", source="upstream"),
        trace(source="upstream", usage={"prompt_tokens": "many", "completion_tokens": 10**60}),
        trace(source="upstream", total=1e9),
        trace(counts=Counter({f"count-{number}": number for number in range(450)})),
    )
    assert found["requests"] == 7
    assert len(found["counts"]) in (449, 450)  # a zero may be written or not
    assert found["counts"]["count-449"] == 449
    assert list(found["latencies"]["upstream"]["models"]) == ["m", "other"]


async def test_a_flush_of_nothing_changes_nothing(ledger, counted):
    await ledger.flush()
    await ledger.flush(force=True)
    assert (await counted(trace()))["requests"] == 1
    await ledger.flush(force=True)
    await ledger.flush(force=True)
    assert (await ledger.summary("acme:prod"))["requests"] == 1


async def test_a_summary_is_json(counted):
    found = await counted(trace(source="upstream", first=0.1))
    assert json.loads(json.dumps(found)) == found


async def test_the_last_requests_errors_and_the_slowest_are_shown_whatever_became_of_them(counted):
    quick = trace(source="exact", first=0.001)
    slow = trace(source="upstream", first=3.0, key="team")
    failed = trace(error="UpstreamError", status=502)
    found = await counted(quick, slow, failed, trace(error="CancelledError"), trace(partition="acme:test", first=9.0))
    assert len(found["recent_requests"]) == 4
    assert [(one["request_id"], one["status"]) for one in found["recent_errors"]] == [(failed.request_id, 502)]
    assert [one["request_id"] for one in found["slowest"]] == [slow.request_id, quick.request_id]
    assert (found["slowest"][0]["first_ms"], found["slowest"][0]["key"]) == (3000.0, "team")


async def test_use_is_told_by_key_the_busiest_first(counted):
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    found = await counted(
        trace(key="one", source="exact", usage=usage),
        trace(key="two|odd", source="upstream", usage=usage),
        trace(key="two|odd", error="UpstreamError", status=502),
        trace(key="two|odd", error="CancelledError"),
        trace(),
    )
    assert found["keys"] == {
        "two|odd": {"requests": 3, "hits": 0, "errors": 1, "tokens": 7},
        "one": {"requests": 1, "hits": 1, "errors": 0, "tokens": 0},
    }
    assert list(found["keys"]) == ["two|odd", "one"]
    assert found["requests"] == 5
    assert found["models"].keys() == {"m"}


async def test_a_month_is_told_by_day(ledger):
    now = time.time()
    ledger._clock = lambda: now - 40 * HOUR
    ledger.record(trace(source="exact", first=0.1))
    ledger._clock = lambda: now
    ledger.record(trace(source="upstream", cacheable=True, first=0.2))
    day, month = await ledger.summary("acme:prod"), await ledger.summary("acme:prod", 720)
    assert (day["series_of"], len(day["series"]), day["requests"]) == ("hour", 1, 1)
    assert (month["series_of"], month["requests"]) == ("day", 2)
    assert {one["hour"][11:] for one in month["series"]} == {"00:00:00Z"}
    assert sum(one["requests"] for one in month["series"]) == 2
    assert month["latencies"]["exact"]["all"]["ttft_ms"]["count"] == 1
