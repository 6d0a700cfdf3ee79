from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.model import Entry, Prompt, Recording
from subsecond.stages.exact import head_of_hit
from subsecond.stats.counters import NAMED_MODELS, Counters
from subsecond.stats.increments import HOUR, LIVE, LONGEST_NAME, hour_of, increments
from subsecond.stats.summary import summarise
from subsecond.stats.trace import Attempt, Step, Trace

NOW = 1_795_413_600.0
THIS_HOUR = hour_of(NOW)


def trace(**given):
    return Trace(**{"partition": "acme:default", "model": "m", "total": 0.5, **given})


def counts(trace, rollup=THIS_HOUR):
    return {name: n for place, name, n in increments(trace, str, NOW) if place == rollup}


@pytest.fixture
def counters():
    return Counters()


def models(counters, partition="acme:default"):
    return {rollup.partition("|")[2] for rollup, _ in counters.of(partition) if "|" in rollup}


@pytest.mark.parametrize(
    ("given", "counted"),
    [
        ({"source": "exact", "cacheable": True}, {"n|hits|exact"}),
        ({"source": "upstream", "cacheable": True}, {"n|misses", "n|upstream_calls"}),
        ({"source": "upstream"}, {"n|bypassed", "n|upstream_calls"}),
        (
            {"source": "upstream", "cacheable": True, "error": "UpstreamError", "status": 502},
            {"n|misses", "n|upstream_calls", "n|errors|5xx", "n|codes|502 UpstreamError"},
        ),
        ({"error": "Unauthorized", "status": 401}, {"n|errors|4xx", "n|codes|401 Unauthorized"}),
        ({"error": "KeyError"}, {"n|errors|5xx", "n|codes|500 KeyError"}),
        ({"source": "upstream", "error": "GeneratorExit"}, {"n|bypassed", "n|upstream_calls", "n|errors|closed"}),
        ({"counts": Counter(exact_failed=2)}, {"n|counts|exact_failed"}),
    ],
)
def test_each_request_is_counted_for_what_it_was(given, counted):
    assert set(counts(trace(**given))) == {"n|requests"} | counted


def test_tokens_of_the_upstream_are_paid_and_tokens_of_a_hit_are_saved():
    usage = {"prompt_tokens": 7, "completion_tokens": 11, "total_tokens": 18}

    paid = counts(trace(source="upstream", usage=usage), f"{THIS_HOUR}|m")
    saved = counts(trace(source="exact", usage=usage), f"{THIS_HOUR}|m")

    assert (paid["n|tokens|upstream|prompt"], paid["n|tokens|upstream|completion"]) == (7, 11)
    assert (saved["n|tokens|saved|prompt"], saved["n|tokens|saved|completion"]) == (7, 11)


@pytest.mark.parametrize("nonsense", ["7", 7.5, None, -7, 10**40, [7], {}])
def test_a_token_count_that_is_none_is_left_out(nonsense):
    found = increments(trace(source="upstream", usage={"prompt_tokens": nonsense}), str, NOW)
    assert "n|tokens|upstream|prompt" not in [name for _, name, _ in found]


@pytest.mark.parametrize(("by", "counted"), [("large", "large"), ("", "gpt")])
def test_a_stored_answer_is_counted_for_the_model_that_a_miss_is_counted_for(by, counted):
    recording = Recording("whole", (b"{}",), "stop", "gpt-2026-01-01", by=by)
    hit = trace(model="gpt", usage={"prompt_tokens": 7}, total=None)

    head_of_hit("exact", Entry("t:n", Prompt("key", "scope", ""), recording, NOW, NOW, model="gpt"), hit)

    assert counts(hit, f"{THIS_HOUR}|{counted}")["n|tokens|saved|prompt"] == 7
    assert hit.served == "gpt-2026-01-01"
    assert counts(hit, f"{THIS_HOUR}|gpt-2026-01-01") == {}


def test_calls_of_models_are_counted_by_what_became_of_them():
    outcomes = ["503 UpstreamError", "answered", "cancelled", "broke off: KeyError"]
    made = trace(source="upstream", attempts=[Attempt("m", "first", outcome) for outcome in outcomes])

    found = Counter(name for _, name, _ in increments(made, str, NOW) if name.startswith("n|calls"))

    assert found == {"n|calls|failed": 2, "n|calls|answered": 1, "n|calls|cancelled": 1}


def test_the_time_that_one_model_lost_is_not_booked_on_the_one_that_answered(counters):
    attempts = [
        Attempt("hangs", "first", "504 UpstreamTimeout", 2.0, 2.0),
        Attempt("m", "fallback", "answered", 0.1, 0.5),
    ]
    attempts.append(Attempt("late", "hedge", "cancelled", 0.1))
    counters.record(trace(source="upstream", first=2.1, total=2.5, attempts=attempts), NOW)

    found = summarise(counters.of("acme:default"), NOW)

    upstream = found["latencies"]["upstream"]
    assert upstream["models"]["m"]["ttft_ms"]["mean"] == 100.0
    assert upstream["models"]["m"]["total_ms"]["mean"] == 500.0
    assert upstream["models"]["hangs"]["total_ms"]["mean"] == 2_000.0
    assert "ttft_ms" not in upstream["models"]["hangs"]
    assert sorted(upstream["models"]) == ["hangs", "m"]
    # The client waited for both.
    assert (upstream["all"]["ttft_ms"]["mean"], upstream["all"]["total_ms"]["mean"]) == (2_100.0, 2_500.0)
    assert upstream["all"]["ttft_ms"]["count"] == 1
    assert list(found["latencies"]) == ["upstream"]
    (hour,) = found["series"]
    assert (hour["ttft_ms"]["upstream"]["count"], hour["ttft_ms"]["upstream"]["mean"]) == (1, 2_100.0)


def test_steps_are_kept_apart_for_hits_and_misses():
    both = [trace(source=source, steps={Step.EXACT: 0.004}) for source in ("semantic", "upstream")]
    rollups = Counters()
    for made in both:
        rollups.record(made, NOW)

    found = summarise(rollups.of("acme:default"), NOW)["steps"]

    assert list(found) == ["hit", "miss"]
    assert found["hit"]["exact"]["mean"] == 4.0
    assert found["hit"]["exact"]["p50"] == pytest.approx(4, rel=0.25)
    assert counts(trace(steps={Step.AUTHENTICATE: 1}, error="Unauthorized", status=401), f"{THIS_HOUR}#steps") == {}


def test_only_answers_have_latencies():
    answered = increments(trace(source="upstream", first=0.1), str, NOW)
    failed = increments(trace(source="upstream", first=0.1, error="UpstreamError", status=502), str, NOW)

    assert Counter(name.rpartition("|")[0] for rollup, name, _ in answered if rollup == f"{THIS_HOUR}|m") == {
        "h|ttft|upstream": 2,
        "h|total|upstream": 2,
    }
    assert {rollup for rollup, _, _ in failed} == {THIS_HOUR}


def test_an_answer_that_is_stored_lives_until_the_hour_of_its_expiry_and_one_replaced_no_longer(counters):
    counters.record(trace(stored_expiry=NOW + HOUR), NOW)
    counters.record(trace(stored_expiry=NOW + HOUR), NOW)
    counters.record(trace(stored_expiry=NOW + 3 * HOUR, replaced_expiry=NOW + HOUR), NOW)
    counters.record(trace(stored_expiry=NOW + 3 * HOUR), NOW)

    rollups = counters.of("acme:default")

    assert {rollup for rollup, _ in rollups if rollup.startswith(LIVE)} == {
        LIVE + hour_of(NOW + HOUR),
        LIVE + hour_of(NOW + 3 * HOUR),
    }
    assert [summarise(rollups, NOW + hours * HOUR)["exact_cache_size"] for hours in (0, 1, 2, 3, 4)] == [3, 3, 2, 2, 0]


def test_only_so_many_models_are_counted_by_name_in_each_partition(counters):
    for number in range(NAMED_MODELS + 5):
        counters.record(trace(source="upstream", model=f"model-{number}"), NOW)
    counters.record(trace(source="upstream", model="model-0", partition="other:default"), NOW)

    assert models(counters) == {"other", *(f"model-{number}" for number in range(NAMED_MODELS))}
    assert models(counters, "other:default") == {"model-0"}


def test_a_failed_request_names_no_model(counters):
    for number in range(NAMED_MODELS):
        counters.record(trace(source="upstream", model=f"made-up-{number}", error="UpstreamError", status=404), NOW)
    counters.record(trace(source="upstream", model="real"), NOW)

    assert models(counters) == {"real"}


@pytest.mark.parametrize("name", ["x" * (LONGEST_NAME + 1), "a\nb", "\ud800", ["m"], {"m": 1}, 7])
def test_a_name_that_no_model_has_counts_as_other(counters, name):
    counters.record(trace(source="upstream", model=name), NOW)

    assert models(counters) == {"other"}


def test_a_model_may_have_a_bar_in_its_name(counters):
    counters.record(trace(source="upstream", model="a|b", first=0.1), NOW)

    assert list(summarise(counters.of("acme:default"), NOW)["latencies"]["upstream"]["models"]) == ["a|b"]


def test_what_is_given_back_is_added(counters):
    counters.record(trace(source="exact"), NOW)
    taken = counters.take()
    assert not len(counters)
    counters.record(trace(source="exact"), NOW)
    counters.add(taken)

    assert summarise(counters.of("acme:default"), NOW)["hits"]["exact"] == 2


def test_when_too_much_waits_the_oldest_hours_are_lost_first(counters):
    for hours in (2, 0, 1):
        counters.record(trace(stored_expiry=NOW + 9 * HOUR), NOW + hours * HOUR)
    # In each hour one sum (its requests), and one of live answers for all.
    assert counters.shrink(4) == 0
    assert counters.shrink(2) == 2

    assert {rollup for rollup, _ in counters.of("acme:default")} == {
        hour_of(NOW + 2 * HOUR),
        LIVE + hour_of(NOW + 9 * HOUR),
    }


def test_the_summary_has_all_its_fields_before_anything_happened():
    assert summarise([], NOW) == {
        "hours": 24,
        "complete": True,
        "requests": 0,
        "hits": {"exact": 0, "semantic": 0, "coalesced": 0},
        "misses": 0,
        "bypassed": 0,
        "hit_rate": None,
        "upstream_calls": 0,
        "errors": {"4xx": 0, "5xx": 0, "closed": 0},
        "errors_by_code": {},
        "shed": 0,
        "cold_starts": 0,
        "tokens": {"upstream": {"prompt": 0, "completion": 0}, "saved": {"prompt": 0, "completion": 0}},
        "latencies": {},
        "steps": {},
        "models": {},
        "keys": {},
        "series_of": "hour",
        "series": [],
        "exact_cache_size": 0,
        "exact_cache_bytes": 0,
        "semantic_cache_size": 0,
        "fail_open": {},
        "counts": {},
    }


def test_the_summary_adds_up_hours_models_and_sources(counters):
    for hours, model, source, seconds in [(0, "a", "upstream", 1), (1, "b", "upstream", 3), (2, "a", "exact", 0.01)]:
        counters.record(
            trace(source=source, model=model, cacheable=True, first=seconds, counts=Counter(store_failed=1, kept=2)),
            NOW - hours * HOUR,
        )

    found = summarise(counters.of("acme:default"), NOW)

    assert found["hit_rate"] == 0.3333
    assert found["latencies"]["upstream"]["all"]["ttft_ms"] == {
        "count": 2,
        "mean": 2_000.0,
        "p50": pytest.approx(1_000, rel=0.045),
        "p90": pytest.approx(3_000, rel=0.045),
        "p99": pytest.approx(3_000, rel=0.045),
    }
    assert found["latencies"]["upstream"]["models"]["b"]["ttft_ms"]["count"] == 1
    assert list(found["latencies"]["exact"]["models"]) == ["a"]
    assert (found["fail_open"], found["counts"]) == ({"store": 3}, {"kept": 6})


def test_the_series_tells_the_hours_apart(counters):
    counters.record(trace(source="exact", cacheable=True, first=0.002), NOW)
    counters.record(trace(source="upstream", cacheable=True, first=1.0, usage={"prompt_tokens": 9}), NOW - 5 * HOUR)
    counters.record(trace(error="Overloaded", status=429), NOW - 5 * HOUR)

    earlier, now = summarise(counters.of("acme:default"), NOW)["series"]

    assert (earlier["requests"], earlier["hit_rate"], earlier["errors"]) == (2, 0.0, 1)
    assert (now["requests"], now["hit_rate"], now["hits"]["exact"]) == (1, 1.0, 1)
    assert earlier["tokens"] == {"upstream": 9, "saved": 0}
    assert earlier["ttft_ms"]["upstream"]["p99"] == pytest.approx(1_000, rel=0.045)
    assert list(now["ttft_ms"]) == ["hit"]
    assert now["hour"] == time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(NOW))


def test_errors_are_told_apart_and_refusals_under_load_among_them(counters):
    for error, status in (("Overloaded", 429), ("UpstreamError", 429), ("KeyError", None), ("GeneratorExit", None)):
        counters.record(trace(error=error, status=status), NOW)

    found = summarise(counters.of("acme:default"), NOW)

    assert found["errors_by_code"] == {"429 Overloaded": 1, "429 UpstreamError": 1, "500 KeyError": 1}
    assert (found["shed"], found["errors"]["closed"]) == (1, 1)


def test_the_size_of_what_lives_is_told_from_what_was_stored_lately(counters):
    for size in (1_000, 3_000):
        counters.record(trace(stored_expiry=NOW + HOUR, stored_bytes=size), NOW)

    found = [summarise(counters.of("acme:default"), NOW + hours * HOUR)["exact_cache_bytes"] for hours in (0, 2)]

    assert found == [4_000, 0]


@pytest.mark.parametrize(("hours", "requests"), [(1, 1), (23, 2), (24, 3), (26, 4)])
def test_the_summary_looks_back_as_far_as_it_is_told(counters, hours, requests):
    for ago in (0, 22, 23, 24):
        counters.record(trace(), NOW - ago * HOUR)

    assert summarise(counters.of("acme:default"), NOW, hours)["requests"] == requests


TRACES = st.builds(
    trace,
    partition=st.sampled_from([None, "a:x", "b:x"]),
    model=st.sampled_from(["one", "two", None]),
    source=st.sampled_from([None, "upstream", "exact"]),
    cacheable=st.booleans(),
    status=st.sampled_from([None, 404, 502]),
    error=st.sampled_from([None, "CancelledError", "UpstreamError"]),
    first=st.none() | st.floats(0, 100),
    stored_expiry=st.none() | st.floats(NOW, NOW + 9 * HOUR),
)


@given(st.lists(TRACES, max_size=12), st.integers(0, 12))
def test_two_environments_added_up_are_one(traces, cut):
    one, two, both = Counters(), Counters(), Counters()
    for at, made in enumerate(traces):
        (one if at < cut else two).record(made, NOW)
        both.record(made, NOW)

    for partition in ("a:x", "b:x", "nobody"):
        whole = summarise(both.of(partition), NOW)
        assert summarise(one.of(partition) + two.of(partition), NOW) == whole
        assert summarise(two.of(partition) + one.of(partition), NOW) == whole
