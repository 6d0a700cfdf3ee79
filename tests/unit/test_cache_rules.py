"""The words of Cache-Control as a request may write them."""

import pytest

from subsecond.api.headers import cache_rules
from subsecond.errors import InvalidRequest

TOO_LONG_TO_COUNT = 2.0**31


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("max-age=0", 0.0),
        ("max-age=60", 60.0),
        ('MAX-AGE = "060"', 60.0),
        ("no-transform, max-age=60, stale-if-error=9", 60.0),
        ("max-age=2147483647", TOO_LONG_TO_COUNT - 1),
        ("max-age=2147483648", TOO_LONG_TO_COUNT),
        ("max-age=999999999999", TOO_LONG_TO_COUNT),
        pytest.param("max-age=" + "9" * 5_000, TOO_LONG_TO_COUNT, id="more digits than Python reads"),
        ("no-cache", None),
    ],
)
def test_an_age_is_a_number_of_seconds_up_to_what_can_be_represented(written, seconds):
    assert cache_rules(written, use_cache=True).max_age == seconds


@pytest.mark.parametrize("written", ["max-age", "max-age=", "max-age=soon", "max-age=-1", "max-age=1.5"])
def test_what_is_no_number_is_a_400(written):
    with pytest.raises(InvalidRequest):
        cache_rules(written, use_cache=True)


@pytest.mark.parametrize(
    ("written", "use_cache", "reads", "writes", "only"),
    [
        ("", True, True, True, False),
        ("no-cache", True, False, True, False),
        ("No-Store", True, True, False, False),
        ("no-cache, no-store", True, False, False, False),
        ("only-if-cached", True, True, True, True),
        ("", False, False, False, False),
        ("no-caches", True, True, True, False),
    ],
)
def test_each_word_forbids_its_own(written, use_cache, reads, writes, only):
    rules = cache_rules(written, use_cache=use_cache)
    assert (rules.read, rules.write, rules.only_if_cached) == (reads, writes, only)
