"""A list of models that is none."""

from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.ports import Reply


class Lister:
    """An upstream with this list of models."""

    def __init__(self, body):
        self._body = body

    async def fetch(self, path, body, deadline):
        return Reply(self._body)


@pytest.fixture
def listing(served, settings):
    """`client = await listing(body)`"""

    async def start(body):
        made = gateway(settings)
        return await served(gateway=replace(made, models=replace(made.models, upstream=Lister(body))))

    return start


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/m"])
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"error": {"message": "Overloaded.", "code": 503}}', 503, "Overloaded."),
        (b'["m"', 502, "The upstream's list of models is not JSON."),
        (b'data: {"data": []}', 502, "The upstream's list of models is not JSON."),
        (b'"m"', 502, "The upstream's list of models is not JSON."),
    ],
)
async def test_what_is_no_list_is_an_error(listing, path, body, status, said):
    client = await listing(body)
    seen = await client.send("GET", path)
    assert (seen.status, seen.json["error"]["message"]) == (status, said)
    counted = await client.send("GET", "/v1/cache/stats")
    assert counted.json["errors"]["5xx"] == 1


@pytest.mark.parametrize("data", [b"5", b"{}", b"null"])
async def test_a_list_without_models_has_no_model(listing, data):
    client = await listing(b'{"object": "list", "data": %b}' % data)
    assert (await client.send("GET", "/v1/models/m")).status == 404
