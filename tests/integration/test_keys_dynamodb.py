"""How long a key is believed."""

from hashlib import sha256

import boto3

from subsecond.aws.client import Aws
from subsecond.config import Settings
from subsecond.stores.dynamodb.keys import DynamoKeys

HASH = sha256(b"sk-1").hexdigest()
PLACE = {"pk": {"S": "keys"}, "sk": {"S": HASH}}
ROW = {**PLACE, "tenant": {"S": "t"}, "namespace": {"S": "n"}, "name": {"S": "k"}, "disabled": {"BOOL": False}}


async def test_a_revocation_takes_effect_when_the_memory_of_the_key_ends(aws_tables):
    now = [0.0]
    keys = DynamoKeys(Aws(Settings()), "subsecond-state", ttl=30.0, clock=lambda: now[0])
    dynamodb = boto3.client("dynamodb")
    dynamodb.put_item(TableName="subsecond-state", Item=ROW)
    assert await keys.tenant(HASH)
    dynamodb.put_item(TableName="subsecond-state", Item={**ROW, "disabled": {"BOOL": True}})
    now[0] = 29.0
    assert await keys.tenant(HASH)
    now[0] = 31.0
    assert await keys.tenant(HASH) is None


async def test_a_new_key_works_soon_after_somebody_tried_it(aws_tables):
    now = [0.0]
    keys = DynamoKeys(Aws(Settings()), "subsecond-state", ttl=30.0, clock=lambda: now[0])
    assert await keys.tenant(HASH) is None
    boto3.client("dynamodb").put_item(TableName="subsecond-state", Item=ROW)
    now[0] = 3.0
    assert await keys.tenant(HASH)
