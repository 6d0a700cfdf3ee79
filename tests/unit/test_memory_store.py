"""The answers in this process: bounded in bytes, least recently used go first."""

from subsecond.stores.memory.answers import MemoryStore

BIG = b'{"x":"' + b"y" * 1000 + b'"}'


async def test_the_bytes_are_bounded_and_the_least_recently_used_go(entry):
    store = MemoryStore(5_000, clock=lambda: 0.0)
    for name in "abc":
        await store.put(entry(name, created=0, expires=9, body=BIG))
    await store.get("acme:prod", "a")
    await store.put(entry("d", created=0, expires=9, body=BIG))
    assert store.bytes <= 5_000
    kept = [name for name in "abcd" if await store.get("acme:prod", name)]
    assert kept == ["a", "c", "d"]


async def test_writing_a_key_again_evicts_nothing(entry):
    store = MemoryStore(3_000, clock=lambda: 0.0)
    for name in "ab":
        await store.put(entry(name, created=0, expires=9, body=BIG))
    for created in range(5):
        await store.put(entry("b", created=created, expires=9, body=BIG))
    assert len(store) == 2


async def test_what_is_larger_than_the_bound_is_not_kept(entry):
    store = MemoryStore(100, clock=lambda: 0.0)
    await store.put(entry(created=0, expires=9, body=BIG))
    assert (len(store), store.bytes) == (0, 0)


async def test_an_expired_entry_is_dropped_when_it_is_met(entry):
    now = [0.0]
    store = MemoryStore(5_000, clock=lambda: now[0])
    await store.put(entry(created=0, expires=9))
    now[0] = 9.0
    assert await store.get("acme:prod", "k") is None
    assert store.bytes == 0
