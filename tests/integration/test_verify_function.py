"""The function `Verify`: what another function's environment has sampled, it checks; and under the Lambda host beside
the streaming function, with table and bucket in ministack and a simulator model as judge."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from subsecond.aws.client import aws_of
from subsecond_local.lambda_host import LambdaHost, UrlRoute
from subsecond_local.run.lambda_gateway import functions
from tests.support.functions import load_function
from tests.support.processes import UNHURRIED
from tests.support.simulator import SimulatorProcess

ROOT = Path(__file__).parents[2]
KEY = "sk-test"
JUDGE = "sim-t0-i0-n1-fjudge"
MODEL = "sim-t0-i0-n8"
ASKED, AGAIN = "How do I reset my password?", "How can I reset my password?"
EVENT = json.loads((ROOT / "events" / "verify-schedule.json").read_text())
WITHIN = 30.0


class Context:
    function_name, memory_limit_in_mb, aws_request_id = "verify", 512, "id"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:verify"


@pytest.mark.parametrize(("judge", "report"), [("", {"judge": None, "counts": {}}), (JUDGE, {"counts": {}})])
def test_without_a_judge_or_a_sample_it_does_nothing(aws_tables, monkeypatch, judge, report):
    monkeypatch.setenv("SUBSECOND_STORES", "aws")
    monkeypatch.setenv("SUBSECOND_JUDGE", judge)
    module = load_function("verify")
    try:
        assert module.handler(EVENT, Context()) == report
    finally:
        module.loop.close()
        aws_of(module.settings).close()


@asynccontextmanager
async def deployed(emulator, upstream):
    chosen = {
        "SUBSECOND_STORES": "aws",
        "SUBSECOND_API_KEY": KEY,
        "SUBSECOND_KEYS": "memory",
        "SUBSECOND_UPSTREAM_URL": upstream.base_url,
        "SUBSECOND_UPSTREAM_KEY": KEY,
        "SUBSECOND_SEMANTIC": "verified",
        "SUBSECOND_MAX_ERROR": "0.3",
        "SUBSECOND_CHECK_SHARE": "1",
        "SUBSECOND_CHECK_TEXTS": "on",
        "SUBSECOND_JUDGE": JUDGE,
        **UNHURRIED,
    }
    wanted = [one for one in functions({**emulator, **chosen}) if one.name in ("streaming", "verify")]
    async with (
        LambdaHost(wanted, [UrlRoute("/", "streaming")]) as host,
        httpx2.AsyncClient(base_url=host.url, trust_env=False, timeout=60) as client,
    ):
        client.headers["authorization"] = f"Bearer {KEY}"
        yield host, client


async def ask(client, text):
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    return await client.post("/v1/chat/completions", json=body)


async def test_a_hit_of_one_function_is_checked_by_another_and_told_by_the_first(emulator):
    with SimulatorProcess(key=KEY) as upstream:
        async with deployed(emulator, upstream) as (host, client):
            await ask(client, "Does anybody load the stage?")
            await ask(client, ASKED)
            # The cut is on trial: what would be a hit is checked, and not served.
            await ask(client, AGAIN)
            # The sample is written after the answer's last byte.
            async with asyncio.timeout(WITHIN):
                while not (report := json.loads((await host.invoke("verify", EVENT)).payload))["counts"]:
                    pass
            assert report["counts"] == {"checked": 1}
            told = (await client.get("/v1/cache/stats")).json()["semantic"]["accuracy"]
            assert (told["shadow"]["checked"], told["shadow"]["wrong"], told["judge_calls"]) == (1, 0, 1)
            assert told["state"] == "on trial"
            again = json.loads((await host.invoke("verify", EVENT)).payload)
            assert again == {"counts": {}}
