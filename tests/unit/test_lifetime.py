"""How long an answer is kept, by rule."""

from dataclasses import replace

import pytest

from subsecond.bootstrap import gateway
from subsecond.cache.cacheability import lifetime, longest_life, ttl_rules
from subsecond.cache.key import prepare
from subsecond.config import Settings
from subsecond.model import CacheRules, Request
from subsecond.stages.store import entry_of
from subsecond.stats.trace import Trace

RULES = "model:gpt-4o*=3600, tag:prices=60,tag:docs/*=604800"


@pytest.mark.parametrize(
    ("model", "tags", "seconds"),
    [
        ("other", (), 86_400),
        ("other", ("x",), 86_400),
        ("gpt-4o-mini", (), 3_600),
        ("my-gpt-4o", (), 86_400),
        ("gpt-4o", ("prices",), 60),
        ("other", ("docs/a",), 604_800),
        ("other", ("docs/a", "prices"), 60),
    ],
)
def test_the_shortest_rule_that_fits_counts_else_the_settings(ask, tenant, model, tags, seconds):
    call = replace(ask(model=model), rules=CacheRules(tags=tags))
    assert lifetime(Settings(ttl_rules=RULES), call, prepare(call, tenant)) == seconds


@pytest.mark.parametrize(("wanted", "seconds"), [(5.0, 5), (1e9, 86_400), (0.0, 0)])
def test_the_request_can_only_shorten_it(ask, tenant, wanted, seconds):
    call = replace(ask(), rules=CacheRules(ttl=wanted))
    assert lifetime(Settings(), call, prepare(call, tenant)) == seconds


def test_the_longest_life_is_known():
    assert longest_life(Settings(ttl_rules=RULES)) == 604_800
    assert longest_life(Settings(ttl=9.0)) == 9


@pytest.mark.parametrize("text", ["x", "model=5", "tag:=5", "tag:a=", "tag:a=-5", "tag:a=1.5", "user:a=5", "tag:a"])
def test_what_is_no_rule_is_named_when_the_gateway_starts(settings, text):
    with pytest.raises(ValueError, match="SUBSECOND_TTL_RULES"):
        gateway(replace(settings, ttl_rules=f"tag:fine=5,{text}"))


def test_no_rules_are_fine():
    assert ttl_rules(" , ") == ()


def test_what_may_live_no_time_is_not_stored(ask, tenant, entry):
    call = replace(ask(), rules=CacheRules(ttl=0.0))
    request = Request(tenant, call, prepare(call, tenant), Trace())
    assert entry_of(Settings(), request, entry(created=0, expires=9).recording) is None


def test_an_answer_is_dated_from_its_request_and_lives_from_its_end(ask, tenant, entry):
    trace = Trace()
    trace.started -= 100
    call = replace(ask(), rules=CacheRules(tags=("a",)))
    request = Request(tenant, call, prepare(call, tenant), trace)
    made = entry_of(Settings(), request, entry(created=0, expires=9).recording)
    assert made.expires - made.created == pytest.approx(86_500, abs=1)
    assert (made.tags, made.model) == (("a",), call.model)
