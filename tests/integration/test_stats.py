"""The statistics, the page and the log line, through the face."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from subsecond import __version__
from subsecond.bootstrap import gateway
from subsecond.lambda_runtime import telemetry
from subsecond.model import Tenant
from subsecond.routing.prices import money, price_of
from subsecond.stats.trace import Trace
from subsecond.stores.memory.keys import MemoryKeys
from tests.support.faults import faulty

CATALOGUE = json.dumps(
    {"models": [{"name": "sim-t0-i0-n8", "tier": "fast", "price_in": 1_000_000, "price_out": 2_000_000}]}
)


async def stats(client, query="", **headers):
    return (await client.send("GET", f"/v1/cache/stats{query}", **headers)).json


async def test_a_day_is_told_by_hours_steps_models_and_errors(served):
    client = await served()
    for text in ("a", "a", "b"):
        await client.chat(text)
    await client.chat(model="nobody")
    await client.post("/v1/chat/completions", {"model": "m"})
    found = await stats(client)
    [hour] = found["series"]
    assert (hour["requests"], hour["hits"]["exact"], hour["misses"]) == (5, 1, 3)
    assert hour["ttft_ms"]["hit"]["count"] == 1
    assert {"authenticate", "parse", "prepare", "exact"} <= set(found["steps"]["hit"])
    assert {"upstream", "store"} <= set(found["steps"]["miss"])
    assert found["errors_by_code"] == {"404 UpstreamError": 1, "400 InvalidRequest": 1}
    assert found["models"]["sim-t0-i0-n8"]["tokens"]["upstream"]["completion"] == 16
    assert found["models"]["sim-t0-i0-n8"]["tokens"]["saved"]["completion"] == 8
    assert sum(part["completion"] for part in found["tokens"].values()) == 24
    assert found["money"] is None
    json.dumps(found)


async def test_refusals_under_load_are_counted(served, settings):
    client = await served(replace(settings, model_calls=1, waiting_calls=0, waiting_time=0))
    seen = await asyncio.gather(*(client.chat(f"{number}", model="sim-t200-i0-n8") for number in range(6)))
    refused = [one.status for one in seen].count(429)
    assert refused > 0
    assert (await stats(client))["shed"] == refused


async def test_a_tenant_sees_the_sums_of_its_namespaces_and_of_no_other(served, settings):
    made = gateway(settings)
    found = {
        "sk-prod": Tenant("acme", "prod", "a"),
        "sk-test": Tenant("acme", "test", "b"),
        "sk-else": Tenant("z", "prod", "c"),
    }
    keys = Keys(found)
    client = await served(gateway=replace(made, keys=keys))
    for key, times in (("sk-prod", 1), ("sk-test", 2), ("sk-else", 4)):
        for number in range(times):
            await client.chat(f"{key} {number}", key=key)
    assert (await stats(client, key="sk-prod"))["requests"] == 1
    whole = await stats(client, "?of=tenant", key="sk-prod")
    assert whole["requests"] == 3
    assert {name: part["requests"] for name, part in whole["namespaces"].items()} == {"prod": 1, "test": 2}
    assert "recent_hits" not in whole
    wrong = await client.send("GET", "/v1/cache/stats?of=everybody", key="sk-prod")
    assert (wrong.status, wrong.json["error"]["param"]) == (400, "of")


class Keys(MemoryKeys):
    def __init__(self, tenants):
        from hashlib import sha256

        self._found = {sha256(key.encode()).hexdigest(): tenant for key, tenant in tenants.items()}

    async def tenant(self, token_hash):
        return self._found.get(token_hash)


async def test_recent_semantic_hits_can_be_explained_and_reported_by_what_the_list_says(served, settings):
    client = await served(replace(settings, semantic="threshold", similarity=0.8))
    await client.chat("How do I reset my password?")
    await client.chat("How can I reset the password?")
    found = await stats(client)
    [hit] = found["recent_hits"]
    assert hit["judged"][0]["says"] == "hit"
    explained = (await client.send("GET", f"/v1/cache/explain?request_id={hit['request_id']}")).json
    assert explained["entry"]["entry"] == hit["entry"] == found["top_entries"][0]["entry"]
    assert "password" not in json.dumps(found)
    await client.post("/v1/cache/feedback", {"verdict": "wrong", "request_id": hit["request_id"]})
    assert (await stats(client))["false_hit_rate_reported"] == 1.0


def test_money_is_worked_out_by_a_models_price_or_by_that_of_what_it_is_a_version_of():
    prices = {"gpt-4o": (2.5, 10.0), "gpt-4o-mini": (0.15, 0.6)}
    assert price_of("gpt-4o-2024-08-06", prices) == (2.5, 10.0)
    assert price_of("gpt-4o-mini-2024-07-18", prices) == (0.15, 0.6)
    assert price_of("gpt-4o-audio", prices) is None
    none = {"prompt": 0, "completion": 0}
    tokens = {"prompt": 1_000_000, "completion": 100_000}
    models = {
        "gpt-4o": {"tokens": {"upstream": tokens, "saved": none}},
        "gpt-4o-mini": {"tokens": {"upstream": none, "saved": tokens}},
        "auto": {"tokens": {"upstream": none, "saved": {"prompt": 5, "completion": 0}}},
    }
    assert money(models, prices) == {"spent": 3.5, "saved": 0.21, "unpriced_tokens": 5}


async def test_the_catalogues_prices_turn_tokens_into_money(served, settings):
    client = await served(replace(settings, catalogue=CATALOGUE))
    for _ in range(2):
        await client.chat("a")
    found = await stats(client)
    tokens = found["tokens"]["upstream"]
    assert found["money"]["spent"] == found["money"]["saved"] == tokens["prompt"] + 2 * tokens["completion"]
    assert found["money"]["unpriced_tokens"] == 0
    assert found["models"]["sim-t0-i0-n8"]["calls"] == {"answered": 1, "failed": 0, "refused": 0, "cancelled": 0}
    assert found["health"]["sim-t0-i0-n8"]["circuit_open"] is False


@pytest.mark.parametrize("asked", ["large", "auto"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hit_is_counted_under_the_name_of_the_catalogue_that_its_miss_was_counted_under(
    served, settings, asked, streamed
):
    large = {"name": "large", "tier": "quality", "model": "sim-t0-i0-n8"}
    client = await served(replace(settings, catalogue=json.dumps({"models": [large]})))
    for _ in range(2):
        await client.chat("a", model=asked, stream=streamed)
    found = await stats(client)
    assert list(found["models"]) == ["large"]
    tokens = found["models"]["large"]["tokens"]
    assert tokens["upstream"] == tokens["saved"]
    assert [list(found["latencies"][source]["models"]) for source in ("upstream", "exact")] == [["large"]] * 2


async def test_who_does_not_route_may_know_the_prices_all_the_same(served, settings):
    client = await served(replace(settings, prices=CATALOGUE))
    assert (await stats(client))["money"] == {
        "spent": 0,
        "saved": 0,
        "unpriced_tokens": 0,
        "currency": "USD",
    }


async def test_the_page_is_one_file_for_everybody_under_a_strict_policy(served, settings):
    client = await served(replace(settings, public_url="https://abc.lambda-url.eu-west-1.on.aws/"))
    seen = await client.send("GET", "/dashboard", key="wrong")
    assert seen.status == 200
    assert seen.headers["content-type"] == "text/html; charset=utf-8"
    policy = seen.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self' https://abc.lambda-url.eu-west-1.on.aws;" in policy
    assert b'content="https://abc.lambda-url.eu-west-1.on.aws"' in seen.body
    assert b"{{" not in seen.body.replace(b"${{", b"")
    assert len(seen.body) < 64 * 1024
    again = await client.send("GET", "/dashboard", if_none_match=seen.headers["etag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "https://a'; script-src *", 'https://a"><b>', "x\r\ny"])
async def test_what_is_no_origin_stands_in_no_header(served, settings, url):
    client = await served(replace(settings, public_url=url))
    seen = await client.send("GET", "/dashboard")
    assert seen.status == 200
    assert "script-src *" not in seen.headers["content-security-policy"]
    assert b"<b>" not in seen.body
    assert b"javascript:" not in seen.body


def test_the_log_line_has_opentelemetrys_names_and_no_text():
    trace = Trace(model="gpt-4o", served="gpt-4o-2024-08-06", source="exact", operation="text")
    trace.usage = {"prompt_tokens": 7, "completion_tokens": 9}
    line = telemetry._line(trace)
    assert line["gen_ai.operation.name"] == "text_completion"
    assert (line["gen_ai.request.model"], line["gen_ai.response.model"]) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (line["gen_ai.usage.input_tokens"], line["gen_ai.usage.output_tokens"]) == (7, 9)
    assert "error.type" not in line


async def test_the_first_request_of_an_environment_is_a_cold_start(served, settings, capfd):
    client = await served(gateway=telemetry.observed(gateway(settings)))
    for _ in range(3):
        await client.chat("a")
    telemetry.flush()
    assert (await stats(client))["cold_starts"] == 1
    telemetry.flush()
    assert "ColdStart" in capfd.readouterr().out


async def test_the_range_is_told_in_hours_and_nothing_else(served):
    client = await served()
    await client.chat("a")
    found = await stats(client, "?hours=720")
    assert (found["hours"], found["requests"], found["series_of"]) == (720, 1, "day")
    assert found["version"] == __version__
    assert (await stats(client, "?of=tenant&hours=1"))["hours"] == 1
    for odd in ("0", "721", "-1", "1.5", "", "%D9%A1", "9" * 5_000):
        reply = await client.send("GET", f"/v1/cache/stats?hours={odd}")
        assert (reply.status, reply.json["error"]["param"]) == (400, "hours"), odd


async def test_the_last_request_and_its_key_are_named(served):
    client = await served()
    answer = await client.chat("a")
    found = await stats(client)
    assert found["recent_requests"][-1]["request_id"] == answer.headers["x-request-id"]
    assert found["keys"]["default"]["requests"] >= 1


async def test_a_table_that_answers_strangely_is_a_503(served, settings):
    with faulty(settings, "ledger", "wrong") as (broken, part):
        client = await served(broken)
        part.on = True
        seen = await client.send("GET", "/v1/cache/stats")
        part.on = False
    assert (seen.status, seen.json["error"]["code"]) == (503, "unavailable")
