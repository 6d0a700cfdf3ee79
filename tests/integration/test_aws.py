from __future__ import annotations

import asyncio
import threading

import pytest

from subsecond.aws.client import Aws, aws_of
from subsecond.config import Settings


@pytest.fixture
def settings(aws_tables):
    return Settings(store_threads=2, store_timeout=0.5)


@pytest.fixture
def aws(settings):
    aws = aws_of(settings)
    yield aws
    aws.close()


def test_equal_settings_share_one(aws, settings):
    assert aws_of(Settings(store_threads=2, store_timeout=0.5)) is aws


def test_a_closed_one_is_not_given_out_again(settings):
    closed = aws_of(settings)
    closed.close()
    fresh = aws_of(settings)

    assert fresh is not closed
    fresh.close()


async def test_calls_run_in_its_threads_and_share_one_client(aws):
    names, clients = zip(
        *await asyncio.gather(*(aws.run(lambda: (threading.current_thread().name, aws.dynamodb)) for _ in range(6))),
        strict=True,
    )

    assert all(name.startswith("aws") for name in names)
    assert len(set(map(id, clients))) == 1


async def test_clients_have_the_settings_limits(aws):
    for client in await aws.run(lambda: (aws.dynamodb, aws.s3)):
        config = client.meta.config
        assert (config.connect_timeout, config.read_timeout, config.max_pool_connections) == (0.5, 0.5, 2)
        assert config.retries["total_max_attempts"] == 2
        assert config.response_checksum_validation == "when_required"


async def test_a_call_that_fails_raises_here(aws):
    with pytest.raises(ZeroDivisionError):
        await aws.run(lambda: 1 // 0)


async def test_closing_twice_or_unused_is_no_error():
    aws = Aws(Settings())
    aws.close()
    aws.close()
