"""What every key store promises."""

from hashlib import sha256

import boto3
import pytest

from subsecond.config import Settings
from tests.support.adapters import engines, store

ADAPTERS = engines("keys")
GOOD = sha256(b"sk-good").hexdigest()


def row(token, *, disabled=False):
    text = {"tenant": "local", "namespace": "default", "name": "default"}
    item = {"pk": "keys", "sk": sha256(token).hexdigest(), **text}
    return {**{name: {"S": value} for name, value in item.items()}, "disabled": {"BOOL": disabled}}


@pytest.fixture(params=ADAPTERS)
def keys(request, aws_tables):
    for item in (row(b"sk-good"), row(b"sk-revoked", disabled=True)):
        boto3.client("dynamodb").put_item(TableName="subsecond-state", Item=item)
    return store("keys", request.param, Settings(api_key="sk-good"))


async def test_a_known_key_has_its_tenant(keys):
    tenant = await keys.tenant(GOOD)
    assert tenant.partition == "local:default"


@pytest.mark.parametrize("token", [b"sk-other", b"sk-revoked", b"", GOOD.encode()])
async def test_any_other_key_has_none(keys, token):
    assert await keys.tenant(sha256(token).hexdigest()) is None


async def test_without_a_configured_key_nobody_is_let_in(aws_tables):
    for name in ADAPTERS:
        empty = store("keys", name)
        assert await empty.tenant(sha256(b"").hexdigest()) is None
