"""What every hit log promises. A new file in `hits/` is tested here the day it appears."""

import time

import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.model import Hit
from tests.support.adapters import engines, store

ADAPTERS = engines("hits")
DAY = 86_400


@pytest.fixture(params=ADAPTERS)
def hits(request):
    settings = Settings(store_threads=1)
    if request.param != "memory":
        request.getfixturevalue("aws_tables")
    yield store("hits", request.param, settings)
    aws_of(settings).close()


def hit(request_id="req_1", at=None):
    judged = ({"entry": "ab" * 32, "similarity": 0.91, "says": "hit", "reasons": ["near"], "score": 0.7, "age": 1.5},)
    return Hit(request_id, "ab" * 32, "cd" * 16, time.time() if at is None else at, judged)


def test_the_adapters_were_found():
    assert {"memory", "dynamodb"} <= set(ADAPTERS)


async def test_a_hit_is_found_by_its_request_in_its_partition_alone(hits):
    await hits.note("acme:prod", noted := hit())
    found = await hits.find("acme:prod", "req_1")
    assert found.at == pytest.approx(noted.at, abs=1e-5)
    assert (found.request_id, found.entry, found.asked, found.verdicts) == (
        noted.request_id,
        noted.entry,
        noted.asked,
        noted.verdicts,
    )
    assert await hits.find("acme:prod", "req_2") is None
    assert await hits.find("acme:test", "req_1") is None
    assert await hits.find("other:prod", "req_1") is None


async def test_it_is_kept_for_a_day(hits):
    await hits.note("acme:prod", hit("old", time.time() - DAY - 1))
    await hits.note("acme:prod", hit("young", time.time() - DAY + 60))
    assert await hits.find("acme:prod", "old") is None
    assert await hits.find("acme:prod", "young")
