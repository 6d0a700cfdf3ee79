"""Web pages of other origins and a plain server: which may call, and what they may read."""

import json
from dataclasses import replace

import pytest

from subsecond.bootstrap import check
from subsecond.config import Settings

PAGE = "https://app.example.com"
ASKED = {"model": "sim-t0-i0-n8", "messages": [{"role": "user", "content": "Hello?"}]}
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}


@pytest.fixture
async def open_to(served, settings):
    """`await open_to("https://...")`: a gateway that these pages may call."""

    async def serve(origins):
        return await served(replace(settings, cors_origins=origins))

    return serve


async def preflight(client, **headers):
    return await client.http.request("OPTIONS", "/v1/chat/completions", headers=PREFLIGHT | headers)


async def asked(client, origin, path="/v1/chat/completions", **headers):
    headers = {"authorization": f"Bearer {client.key}", "origin": origin, **headers}
    return await client.http.post(path, json=ASKED, headers=headers)


@pytest.mark.parametrize("origins", [PAGE, "*", f"http://localhost:5173, {PAGE}"])
async def test_a_page_that_is_named_may_ask_with_a_key_and_read_the_gateways_headers(open_to, origins):
    client = await open_to(origins)
    allowed = await preflight(client)
    answer = await asked(client, PAGE)
    assert (allowed.status_code, answer.status_code) == (200, 200)
    for response in (allowed, answer):
        assert response.headers["access-control-allow-origin"] in (PAGE, "*")
        assert "access-control-allow-credentials" not in response.headers
    assert set(PREFLIGHT["access-control-request-headers"].split(",")) <= set(
        allowed.headers["access-control-allow-headers"].lower().split(",")
    )
    assert "cache-status" in answer.headers["access-control-expose-headers"]


async def test_it_may_read_errors_too_and_streams_come_as_ever(open_to):
    client = await open_to(PAGE)
    for refused in (await asked(client, PAGE, authorization="Bearer nobody"), await asked(client, PAGE, "/v1/nowhere")):
        assert refused.status_code in (401, 404)
        assert refused.headers["access-control-allow-origin"] == PAGE
    async with client.http.stream(
        "POST",
        "/v1/chat/completions",
        json=ASKED | {"stream": True},
        headers={"authorization": f"Bearer {client.key}", "origin": PAGE},
    ) as stream:
        lines = [line async for line in stream.aiter_lines() if line]
    assert len(lines) > 8
    assert lines[-1] == "data: [DONE]"


async def test_a_page_that_is_not_named_may_not_and_neither_may_any_by_default(open_to):
    for origins in ("https://other.example.com", ""):
        client = await open_to(origins)
        told = [await preflight(client), await asked(client, PAGE)]
        assert not [response for response in told if "access-control-allow-origin" in response.headers]


async def test_a_public_page_that_is_named_may_call_a_private_address(open_to):
    client = await open_to(PAGE)
    allowed = await preflight(client, **{"access-control-request-private-network": "true"})
    assert allowed.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(
    "wrong", ["https://app.example.com/", "app.example.com", "https://App.example.com", "https://*.a"]
)
def test_what_no_browser_sends_as_an_origin_is_told_at_the_start(wrong):
    with pytest.raises(ValueError, match=r"SUBSECOND_CORS_ORIGINS: .* is no origin"):
        Settings.from_env({"SUBSECOND_CORS_ORIGINS": f"{PAGE},{wrong}"})


def test_on_aws_it_is_the_stacks_parameter():
    with pytest.raises(ValueError, match="CorsOrigin"):
        Settings.from_env({"SUBSECOND_SETTINGS": json.dumps({"cors_origins": "*"})})
    check(Settings.from_env({"SUBSECOND_CORS_ORIGINS": f"{PAGE},http://127.0.0.1:3000,http://[::1]:3000"}))
