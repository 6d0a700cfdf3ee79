"""The answers in this process: bounded in bytes, least recently used go first."""

from dataclasses import replace

from subsecond.stores.memory.answers import MemoryStore

BIG = b'{"x":"' + b"y" * 1000 + b'"}'


async def test_the_bytes_are_bounded_and_the_least_recently_used_go(entry):
    store = MemoryStore(5_000, clock=lambda: 0.0)
    for name in "abc":
        await store.put(entry(name, created=0, expires=9, body=BIG))
    await store.get("acme:prod", "a", "whole")
    await store.put(entry("d", created=0, expires=9, body=BIG))
    assert store.bytes <= 5_000
    kept = [name for name in "abcd" if await store.get("acme:prod", name, "whole")]
    assert kept == ["a", "c", "d"]


async def test_the_form_that_is_asked_for_keeps_the_other_too(entry):
    store = MemoryStore(7_000, clock=lambda: 0.0)
    for name, form in (("a", "whole"), ("a", "stream"), ("b", "whole"), ("c", "whole")):
        await store.put(entry(name, created=0, expires=9, body=BIG, form=form))
    await store.get("acme:prod", "a", "stream")
    await store.put(entry("d", created=0, expires=9, body=BIG))
    for form in ("whole", "stream"):
        assert (await store.get("acme:prod", "a", form)).recording.form == form
    assert await store.get("acme:prod", "b", "whole") is None


async def test_writing_a_key_again_evicts_nothing(entry):
    store = MemoryStore(4_000, clock=lambda: 0.0)
    for name in "ab":
        await store.put(entry(name, created=0, expires=9, body=BIG))
    for created in range(5):
        await store.put(entry("b", created=created, expires=9, body=BIG))
    assert len(store) == 2


async def test_what_is_larger_than_the_bound_is_not_kept(entry):
    store = MemoryStore(100, clock=lambda: 0.0)
    assert await store.put(entry(created=0, expires=9, body=BIG)) is None
    assert (len(store), store.bytes) == (0, 0)


async def test_what_was_reported_of_a_key_counts_to_the_bound(entry):
    store = MemoryStore(1_700, clock=lambda: 0.0)
    await store.put(entry(created=0, expires=9))
    for digest in ("d1", "d2"):
        await store.report("acme:prod", "k", digest, wrong=True)
    assert await store.put(entry(created=1, expires=9, body=BIG)) is None
    assert (await store.get("acme:prod", "k", "whole")).false_hits == {"d1", "d2"}


async def test_of_two_forms_that_are_too_large_together_the_one_that_comes_stays(entry):
    store = MemoryStore(3_000, clock=lambda: 0.0)
    for form in ("whole", "stream"):
        assert await store.put(entry(created=0, expires=9, body=BIG, form=form)) == 0
    assert (await store.get("acme:prod", "k", "whole")).recording.form == "stream"
    assert store.bytes <= 3_000


async def test_an_expired_entry_is_dropped_when_it_is_met(entry):
    now = [0.0]
    store = MemoryStore(5_000, clock=lambda: now[0])
    await store.put(entry(created=0, expires=9))
    await store.put(entry(created=0, expires=5, form="stream"))
    both = store.bytes
    now[0] = 5.0
    assert (await store.get("acme:prod", "k", "stream")).recording.form == "whole"
    assert store.bytes < both
    now[0] = 9.0
    assert await store.get("acme:prod", "k", "whole") is None
    assert store.bytes == 0


async def test_the_tags_of_a_form_that_ended_count_no_more(entry):
    now = [0.0]
    store = MemoryStore(5_000, clock=lambda: now[0])
    await store.put(replace(entry(created=0, expires=9), tags=("a",)))
    await store.put(replace(entry(created=0, expires=5, form="stream"), tags=("b",)))
    assert set((await store.get("acme:prod", "k", "whole")).tags) == {"a", "b"}
    now[0] = 5.0
    assert (await store.get("acme:prod", "k", "whole")).tags == ("a",)
