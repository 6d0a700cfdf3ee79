"""What every exact store promises. A new engine under `stores/` is tested here the day it appears."""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subsecond.cache.codec import pack
from subsecond.model import OTHER_FORM, Prompt
from subsecond.stores.dynamodb.answers import INLINE_LIMIT, DynamoStore
from tests.support.adapters import engines
from tests.support.adapters import store as store_of

ADAPTERS = engines("exact")
FORMS = ("whole", "stream")


@pytest.fixture(params=ADAPTERS)
def store(request, aws_tables):
    return store_of("exact", request.param)


def test_the_adapters_were_found():
    assert {"memory", "dynamodb", "layered"} <= set(ADAPTERS)


@pytest.mark.parametrize("form", FORMS)
async def test_what_was_put_is_got_in_either_form_that_is_asked_for(store, recording, entry, form):
    now = time.time()
    put = replace(entry(created=now, expires=now + 60), recording=recording("Hello you.", form=form))
    assert await store.put(put) == 0
    for asked in FORMS:
        got = await store.get("acme:prod", "k", asked)
        assert got.recording == put.recording
    assert got.prompt == put.prompt
    assert got.created == pytest.approx(put.created, abs=1e-5)
    assert int(got.expires) == int(put.expires)


async def test_nothing_is_got_from_another_partition_or_key(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    assert await store.get("acme:test", "k", "whole") is None
    assert await store.get("acme:prod", "other", "whole") is None


async def test_an_expired_entry_is_none(store, entry):
    now = time.time()
    await store.put(entry(created=now - 60, expires=now - 1))
    assert await store.get("acme:prod", "k", "whole") is None


async def test_both_forms_lie_side_by_side_and_replace_nothing(store, recording, entry):
    now = time.time()
    put = {}
    for age, form in enumerate(FORMS):
        made = entry(created=now + age, expires=now + 60 + age)
        put[form] = replace(made, recording=recording(f"From {form}.", form=form))
        assert await store.put(put[form]) == 0
    for form in FORMS:
        for got in (await store.get("acme:prod", "k", form), await store.fresh("acme:prod", "k", form)):
            assert got.recording == put[form].recording
            assert got.created == pytest.approx(put[form].created, abs=1e-5)
            assert int(got.expires) == int(put[form].expires)


@pytest.mark.parametrize("form", FORMS)
async def test_a_form_ends_at_its_own_time_whichever_was_written_last(store, entry, form):
    now = time.time()
    other = OTHER_FORM[form]
    for key, order in (("first", (form, other)), ("last", (other, form))):
        for age, one in enumerate(order):
            expires = now - 1 if one == form else now + 60
            await store.put(replace(entry(key, created=now - 60 + age, expires=expires, form=one), tags=(one,)))
        for asked in FORMS:
            got = await store.get("acme:prod", key, asked)
            assert (got.recording.form, got.tags) == (other, (other,))
        assert await store.put(entry(key, created=now, expires=now + 60, form=form)) == 0


async def test_the_tags_of_both_forms_count_for_both_and_those_of_a_replaced_one_no_more(store, entry):
    now = time.time()
    for age, form, tags in ((0, "whole", ("a", "b")), (1, "stream", ("b", "c")), (2, "stream", ("d",))):
        await store.put(replace(entry(created=now + age, expires=now + 60, form=form), tags=tags))
    for form in FORMS:
        assert set((await store.fresh("acme:prod", "k", form)).tags) == {"a", "b", "d"}


async def test_the_older_form_is_written_beside_the_newer_and_takes_nothing_from_it(store, entry):
    now = time.time()
    newer = entry(created=now + 5, expires=now + 65, form="stream")
    await store.put(replace(newer, vector=b"\x01\x02", embedder="e", model="alias"))
    assert await store.put(entry(created=now, expires=now + 60)) == 0
    got = await store.fresh("acme:prod", "k", "stream")
    assert (got.vector, got.embedder, got.model) == (b"\x01\x02", "e", "alias")
    assert (await store.fresh("acme:prod", "k", "whole")).created == pytest.approx(now, abs=1e-5)
    assert not await store.drop("acme:prod", "k", now + 1), "one of both is newer"
    assert await store.drop("acme:prod", "k", now + 5.1)
    for form in FORMS:
        assert await store.fresh("acme:prod", "k", form) is None


async def test_a_report_is_of_both_forms(store, entry):
    now = time.time()
    for form in FORMS:
        await store.put(entry(created=now, expires=now + 60, form=form))
    await store.report("acme:prod", "k", "d1", wrong=True)
    for form in FORMS:
        assert (await store.fresh("acme:prod", "k", form)).false_hits == {"d1"}
    assert not await store.drop("acme:prod", "k", now + 1)


async def test_both_forms_may_be_large(store, entry):
    now = time.time()
    bodies = {form: random.Random(form).randbytes(INLINE_LIMIT + 1) for form in FORMS}
    for form, body in bodies.items():
        await store.put(entry(created=now, expires=now + 60, body=body, form=form))
    for form, body in bodies.items():
        assert (await store.fresh("acme:prod", "k", form)).recording.payloads == (body,)


async def test_the_newer_answer_wins_in_either_order(store, entry):
    now = time.time()
    old, new = (entry(created=now + age, expires=now + 60 + age, body=b'{"age":%d}' % age) for age in (0, 5))
    await store.put(old)
    assert int(await store.put(new)) == int(old.expires)
    assert await store.put(old) is None
    assert (await store.get("acme:prod", "k", "whole")).recording.payloads[0] == b'{"age":5}'


async def test_a_large_answer_comes_back_whole(store, entry):
    now = time.time()
    body = random.Random(1).randbytes(600_000)
    assert len(pack(entry(created=now, expires=now + 60, body=body).recording)) > INLINE_LIMIT
    await store.put(entry(created=now, expires=now + 60, body=body))
    assert (await store.get("acme:prod", "k", "whole")).recording.payloads[0] == body


async def test_a_text_with_a_lone_surrogate_does_no_harm(store, entry):
    now = time.time()
    put = entry(created=now, expires=now + 60)
    await store.put(replace(put, prompt=replace(put.prompt, text="a\ud800b")))
    assert (await store.get("acme:prod", "k", "whole")).recording == put.recording


async def test_what_an_entry_carries_comes_back(store, entry):
    now = time.time()
    put = replace(
        entry(created=now, expires=now + 60),
        vector=b"\x01\x02",
        embedder="e",
        tags=("b", "a"),
        model="alias",
        fields="a1b2c3 model",
    )
    await store.put(put)
    for got in (await store.get("acme:prod", "k", "whole"), await store.fresh("acme:prod", "k", "whole")):
        assert (got.vector, got.embedder, set(got.tags), got.model) == (b"\x01\x02", "e", {"a", "b"}, "alias")
        assert got.fields == "a1b2c3 model"


async def test_a_newer_answer_has_nothing_of_the_older_one_but_what_was_reported(store, entry):
    now = time.time()
    old = entry(created=now, expires=now + 60)
    big = entry(created=now + 1, expires=now + 61, body=random.Random(2).randbytes(600_000))
    await store.put(replace(old, vector=b"\x01\x02", embedder="e", tags=("a",), model="alias", fields="a1b2c3 m"))
    await store.report("acme:prod", "k", "d1", wrong=True)
    for newer in (big, entry(created=now + 2, expires=now + 62)):
        await store.put(newer)
        got = await store.fresh("acme:prod", "k", "whole")
        assert (got.recording, got.vector, got.embedder, got.tags, got.model) == (newer.recording, b"", "", (), "")
        assert got.fields == ""
        assert got.false_hits == {"d1"}


async def test_a_report_is_read_at_once_and_can_be_taken_back(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    await store.get("acme:prod", "k", "whole")
    for digest, wrong, left in (
        ("d1", True, {"d1"}),
        ("d1", True, {"d1"}),
        ("d2", True, {"d1", "d2"}),
        ("d1", False, {"d2"}),
        ("d9", False, {"d2"}),
        ("d2", False, set()),
    ):
        await store.report("acme:prod", "k", digest, wrong=wrong)
        assert (await store.fresh("acme:prod", "k", "whole")).false_hits == left


async def test_a_report_makes_no_entry_and_reaches_no_other_partition(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    for partition, key in (("acme:prod", "none"), ("acme:test", "k")):
        await store.report(partition, key, "d1", wrong=True)
        assert await store.fresh(partition, key, "whole") is None
    assert (await store.fresh("acme:prod", "k", "whole")).false_hits == frozenset()


async def test_what_is_dropped_is_gone_unless_it_is_newer_or_reported(store, entry):
    now = time.time()
    await store.put(entry(created=now, expires=now + 60))
    assert not await store.drop("acme:prod", "k", now - 1)
    assert not await store.drop("acme:test", "k", now + 1)
    assert not await store.drop("acme:prod", "other", now + 1)
    assert await store.get("acme:prod", "k", "whole")
    assert await store.drop("acme:prod", "k", now + 1)
    assert await store.get("acme:prod", "k", "whole") is None
    assert await store.fresh("acme:prod", "k", "whole") is None
    await store.put(entry("r", created=now, expires=now + 60))
    await store.report("acme:prod", "r", "d1", wrong=True)
    assert not await store.drop("acme:prod", "r", now + 1)
    assert (await store.fresh("acme:prod", "r", "whole")).false_hits == {"d1"}


async def test_what_was_reported_and_taken_back_can_be_dropped(store, entry):
    now = float(int(time.time()))  # which no table rounds
    await store.put(entry(created=now, expires=now + 60))
    for wrong in (True, False):
        await store.report("acme:prod", "k", "d1", wrong=wrong)
        await store.fresh("acme:prod", "k", "whole")
    assert await store.drop("acme:prod", "k", now + 1)
    assert await store.get("acme:prod", "k", "whole") is None


async def test_what_is_in_memory_is_live_and_of_the_partition(store, entry):
    """A store that remembers nothing has none."""
    now = time.time()
    for key, expires in (("live", now + 60), ("over", now - 1), ("gone", now + 60)):
        await store.put(entry(key, created=now - 2, expires=expires))
    await store.put(entry("live", created=now - 1, expires=now + 60, form="stream"))
    await store.drop("acme:prod", "gone", now)
    found = [(one.prompt.key, one.recording.form) for one in store.in_memory("acme:prod")]
    assert found == ([("live", "stream")] if keeps(store) else [])
    assert not store.in_memory("acme:test")


def keeps(store):
    return not isinstance(store, DynamoStore)


async def test_what_is_got_at_the_same_time_is_each_callers_own(store, entry):
    now = time.time()
    large = bytes(random.Random(7).randbytes(INLINE_LIMIT + 1))
    for key, body in (("a", b"{}"), ("b", large), ("c", b"[1]")):
        await store.put(replace(entry(created=now, expires=now + 60, body=body), prompt=Prompt(key, "s", key)))
    await store.put(
        replace(entry(created=now, expires=now + 60, body=b"{1}", form="stream"), prompt=Prompt("a", "s", "a"))
    )
    asked = [("a", "whole"), ("none", "whole"), ("b", "whole"), ("a", "stream"), ("c", "stream")] * 30
    got = await asyncio.gather(*(store.get("acme:prod", key, form) for key, form in asked))
    assert [one and one.prompt.text for one in got] == [None if key == "none" else key for key, _ in asked]
    assert [one and one.recording.form for one in got[:5]] == ["whole", None, "whole", "stream", "whole"]
    assert got[2].recording.payloads[0] == large


async def test_a_touched_entry_is_the_same_and_a_touch_of_nothing_makes_nothing(store, entry):
    now = time.time()
    put = entry(created=now, expires=now + 60)
    await store.put(put)
    for key in ("k", "none"):
        await store.touch("acme:prod", key)
        await store.touch("acme:prod", key)
    assert (await store.get("acme:prod", "k", "whole")).recording == put.recording
    assert await store.get("acme:prod", "none", "whole") is None


PARTITIONS = itertools.count()
puts = st.tuples(st.just("put"), st.sampled_from(FORMS), st.integers(0, 5), st.sets(st.sampled_from("abc")))
reports = st.tuples(st.just("report"), st.sampled_from(("d1", "d2")), st.booleans())
drops = st.tuples(st.just("drop"), st.integers(0, 5))


@dataclass
class Promised:
    """The port in few words: what a key holds, by form, and what was reported of it."""

    forms: dict = field(default_factory=dict)
    reported: set = field(default_factory=set)

    def put(self, entry):
        old = self.forms.get(entry.recording.form)
        if old and old.created > entry.created:
            return None
        self.forms[entry.recording.form] = entry
        return old.expires if old else 0

    def report(self, digest, wrong):
        if self.forms:
            self.reported = self.reported | {digest} if wrong else self.reported - {digest}

    def drop(self, before):
        dropped = self.forms and not self.reported and all(one.created <= before for one in self.forms.values())
        if dropped:
            self.forms.clear()
        return bool(dropped)

    def answers(self, form, got):
        if not self.forms:
            return got is None
        asked = self.forms.get(form) or self.forms[OTHER_FORM[form]]
        return (got.recording, got.created, got.expires) == (asked.recording, asked.created, asked.expires)

    def carries(self, got):
        return got is None or (
            got.false_hits == self.reported
            and set(got.tags) == {tag for one in self.forms.values() for tag in one.tags}
        )


@given(st.lists(puts | puts | reports | drops, max_size=9))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_however_forms_reports_and_drops_follow_each_other_the_port_is_kept(store, entry, told):
    partition, promised = f"acme:p{next(PARTITIONS)}", Promised()
    base = float(int(time.time()))
    for number, (what, *facts) in enumerate(told):
        if what == "put":
            form, age, tags = facts
            body = b"%d" % number
            made = entry(partition=partition, created=base + age, expires=base + 60 + age, body=body, form=form)
            made = replace(made, tags=tuple(sorted(tags)))
            assert await store.put(made) == promised.put(made)
        elif what == "report":
            await store.report(partition, "k", facts[0], wrong=facts[1])
            promised.report(*facts)
        else:
            assert await store.drop(partition, "k", base + facts[0]) == promised.drop(base + facts[0])
        for form in FORMS:
            assert promised.answers(form, await store.get(partition, "k", form))
            fresh = await store.fresh(partition, "k", form)
            assert promised.answers(form, fresh)
            assert promised.carries(fresh)
