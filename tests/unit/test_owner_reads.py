"""Owners are read in batches, of which a busy table leaves keys out."""

import pytest

from subsecond.stores.dynamodb.owners import BATCH_TRIES, DynamoOwners


class Aws:
    """Every object is there. A reply has the first key alone, `short` times. asked: how many keys each call had."""

    def __init__(self, short):
        self.dynamodb = self
        self.short, self.asked = short, []

    def batch_get_item(self, RequestItems):  # noqa: N803 -- boto3's name
        keys = RequestItems["state"]["Keys"]
        self.asked.append(len(keys))
        told = keys[:1] if len(self.asked) <= self.short else keys
        left = {"state": {**RequestItems["state"], "Keys": keys[len(told) :]}} if len(told) < len(keys) else {}
        items = [{**key, "place": {"S": "gpt"}, "ttl": {"N": "99"}} for key in told]
        return {"Responses": {"state": items}, "UnprocessedKeys": left}

    async def run(self, work):
        return work()


async def test_what_a_reply_leaves_out_is_asked_for_again():
    aws = Aws(short=1)
    names = ["resp_1", "resp_2", "resp_3"]
    found = await DynamoOwners(aws, "state", lambda: 9.0).places("acme:prod", names)
    assert (found, aws.asked) == (dict.fromkeys(names, "gpt"), [3, 2])


async def test_what_stays_left_out_is_not_said_to_be_nobodys():
    aws = Aws(short=BATCH_TRIES)
    with pytest.raises(TimeoutError):
        await DynamoOwners(aws, "state", lambda: 9.0).places("acme:prod", [f"resp_{n}" for n in range(9)])
    assert len(aws.asked) == BATCH_TRIES
