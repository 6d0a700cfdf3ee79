"""Until when an upstream is waited for: each limit alone, and which of them is told."""

import asyncio
from time import monotonic

import pytest

from subsecond.config import Settings
from subsecond.errors import DeadlineExceeded, UpstreamTimeout
from subsecond.upstreams.time_limits import Clock
from tests.support.virtual_time import now, run

LIMITS = {"first_token_timeout": 20.0, "idle_timeout": 10.0, "total_timeout": 60.0}


def test_the_limits_are_those_of_openais_own_client():
    import openai

    settings = Settings()
    assert settings.first_token_timeout == settings.idle_timeout == openai.DEFAULT_TIMEOUT.read == 600


def virtually(story):
    run(story(), leaves_tasks=True)


@pytest.mark.parametrize(
    ("limits", "deadline", "begun", "due"),
    [
        ({}, None, False, 20.0),
        ({}, None, True, 10.0),
        ({"total_timeout": 5.0}, None, False, 5.0),
        ({"total_timeout": 5.0}, None, True, 5.0),
        ({}, 3.0, False, 3.0),
        ({}, 3.0, True, 3.0),
        ({}, 15.0, True, 10.0),
    ],
)
def test_the_nearest_limit_is_the_next(limits, deadline, begun, due):
    async def story():
        start = now()
        clock = Clock(Settings(**LIMITS | limits), None if deadline is None else monotonic() + deadline)
        clock.begun = begun
        assert clock.next() - start == pytest.approx(due, abs=0.1)

    virtually(story)


@pytest.mark.parametrize(
    ("limits", "deadline", "begun", "kind", "words"),
    [
        ({}, None, False, UpstreamTimeout, "no answer within 20 s"),
        ({}, None, True, UpstreamTimeout, "nothing more for 10 s"),
        ({"total_timeout": 5.0}, None, True, UpstreamTimeout, "more than 5 s in total"),
        ({}, 3.0, True, DeadlineExceeded, "time limit of this request"),
        ({}, 3.0, False, DeadlineExceeded, "time limit of this request"),
    ],
)
def test_the_error_names_the_limit_that_fell(limits, deadline, begun, kind, words):
    async def story():
        clock = Clock(Settings(**LIMITS | limits), None if deadline is None else monotonic() + deadline)
        clock.begun = begun
        error = clock.late(clock.next())
        assert type(error) is kind
        assert words in error.message

    virtually(story)


def test_while_the_reader_is_busy_the_total_stands_still_and_the_deadline_does_not():
    async def story():
        start = now()
        clock, bounded = (Clock(Settings(**LIMITS), end) for end in (None, monotonic() + 30.0))
        clock.begun = bounded.begun = True
        await asyncio.sleep(55.0)
        clock.resume(now() - 55.0)
        with pytest.raises(DeadlineExceeded):
            bounded.resume(now() - 55.0)
        await asyncio.sleep(55.0)
        assert clock.next() - start == pytest.approx(115.0)
        assert clock.fits(4.0)
        assert not clock.fits(5.0)

    virtually(story)
