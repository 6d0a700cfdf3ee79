"""`GET /v1/models` in the dialect of who asks, from servers of either."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from subsecond.api.models_listing import in_dialect

VERSION = {"anthropic_version": "2023-06-01"}
OPENAIS = {"object": "list", "data": [{"id": "a", "object": "model", "created": 1_700_000_000, "owned_by": "x"}]}
ANTHROPICS = {
    "data": [{"type": "model", "id": "a", "display_name": "A", "created_at": "2023-11-14T22:13:20Z"}],
    "has_more": False,
    "first_id": "a",
    "last_id": "a",
}


def test_what_is_in_the_shape_is_left_as_it_is():
    assert in_dialect(OPENAIS, messages=False) is None
    assert in_dialect(ANTHROPICS, messages=True) is None
    assert in_dialect({"data": []}, messages=False) is None


def test_each_goes_over_to_the_other():
    assert in_dialect(OPENAIS, messages=True) == {
        **ANTHROPICS,
        "data": [{**ANTHROPICS["data"][0], "display_name": "a"}],
    }
    assert in_dialect(ANTHROPICS, messages=False) == {
        "object": "list",
        "data": [{**OPENAIS["data"][0], "owned_by": "anthropic"}],
    }


@pytest.mark.parametrize("odd", [None, [], {}, {"data": {}}, {"data": [7, {"id": 7}, {}]}, "x"])
def test_what_is_no_list_stays_what_it_is(odd):
    assert in_dialect(odd, messages=False) is None


@pytest.mark.parametrize("created", [None, "x", 1e300, -(10**20), float("nan"), True])
def test_odd_times_are_told_as_the_beginning(created):
    listing = {"data": [{"id": "a", "object": "model", "created": created}]}
    assert in_dialect(listing, messages=True)["data"][0]["created_at"].startswith("1970-01-01T00:00:0")


@pytest.mark.parametrize("date", [None, "x", 7, "9999-99-99"])
def test_odd_dates_are_no_time(date):
    listing = {"data": [{"id": "a", "type": "model", "created_at": date}]}
    assert in_dialect(listing, messages=False)["data"][0]["created"] == 0


CATALOGUE = json.dumps({"models": [{"name": "sim-t0-i0-n8", "tier": "fast"}]})


@pytest.mark.parametrize("catalogue", ["", CATALOGUE])
async def test_the_list_and_a_model_of_it_are_told_in_the_callers_dialect(served, settings, catalogue):
    client = await served(replace(settings, catalogue=catalogue))
    openais = (await client.send("GET", "/v1/models")).json
    anthropics = (await client.send("GET", "/v1/models", **VERSION)).json
    assert {one["object"] for one in openais["data"]} == {"model"}
    assert {one["type"] for one in anthropics["data"]} == {"model"}
    assert [one["id"] for one in openais["data"]] == [one["id"] for one in anthropics["data"]]
    name = openais["data"][-1]["id"]
    assert (await client.send("GET", f"/v1/models/{name}", **VERSION)).json["type"] == "model"
    missing = await client.send("GET", "/v1/models/nobody", **VERSION)
    assert (missing.status, missing.json["type"], missing.json["error"]["type"]) == (404, "error", "not_found_error")
