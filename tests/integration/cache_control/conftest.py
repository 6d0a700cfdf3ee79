"""Two gateways: in this process, or over tables in moto."""

from dataclasses import replace

import boto3
import pytest

from subsecond.aws.client import aws_of
from subsecond.bootstrap import gateway
from tests.support.cache_control import SETTINGS, TENANTS, Pair, in_memory


@pytest.fixture
def tables(aws_tables):
    """Settings of gateways that share tables in moto, with the keys of tenants a and b."""
    for key, tenant in TENANTS.items():
        row = {"pk": "keys", "sk": key, "tenant": tenant.id, "namespace": tenant.namespace, "name": tenant.key}
        item = {name: {"S": text} for name, text in row.items()}
        boto3.client("dynamodb").put_item(TableName="subsecond-state", Item={**item, "disabled": {"BOOL": False}})
    settings = replace(
        SETTINGS, keys="dynamodb", exact="layered", invalidations="dynamodb", hits="dynamodb", ledger="dynamodb"
    )
    yield settings
    aws_of(settings).close()


@pytest.fixture(params=["memory"])
def gateways(request):
    """Before the servers, because they still write when they stop."""
    if request.param == "memory":
        return list(in_memory())
    settings = request.getfixturevalue("tables")
    return [gateway(settings), gateway(settings)]


@pytest.fixture
async def pair(gateways, served):
    return Pair(gateways, [await served(SETTINGS, gateway=made) for made in gateways])
