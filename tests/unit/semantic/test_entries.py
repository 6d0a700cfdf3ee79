"""The newest version of a key counts, however the entries are spread, repeated, ordered and merged."""

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.semantic.index.entries import ABSENT, KeyIndex, known, merge, superseded
from subsecond.semantic.index.live_rows import live_rows
from subsecond.semantic.index.records import Change, part_of
from subsecond.semantic.index.segments import IndexId, Manifest, Segment
from subsecond.semantic.index.vectors import quantise

DIM = 8
ROW = quantise(np.eye(DIM, dtype=np.float32)[0])


def entry(key, created, *, expires=100, used=0, row=True):
    return Change(bytes([key]) * 32, bytes([key % 2]) * 32, created, expires, used, ROW if row else None)


def part(*changes):
    return part_of(changes, DIM)


def live(parts, now=0.0):
    """Key -> (created, used) of what counts in these parts together, as a reader sees it."""
    manifest = Manifest(
        IndexId("a:b", "m", DIM),
        tuple(Segment(str(at), one.rows, len(one) - one.rows, 0, "", "") for at, one in enumerate(parts)),
    )
    key_indexes = {str(at): KeyIndex(one.ids, one.rows) for at, one in enumerate(parts)}
    found = live_rows(manifest, key_indexes, now)
    counted = [one.ids[: one.rows][found.live[str(at)]] for at, one in enumerate(parts)]
    pairs = [(bytes(row["key"])[0], int(row["created"])) for ids in counted for row in ids]
    assert len(pairs) == len({key for key, _ in pairs}), "a key counts twice"
    return dict(pairs)


def expected(changes, now=0.0):
    """The same, from the definition."""
    best = {}
    for change in changes:
        if change.row is None and change.used:
            continue
        if change.key not in best or change.version > best[change.key].version:
            best[change.key] = change
    return {key[0]: change.created for key, change in best.items() if change.row is not None and change.expires > now}


changes = st.builds(
    lambda key, created, kind, used: entry(key, created, used=used if kind == "hit" else 0, row=kind == "row"),
    st.integers(0, 5),
    st.integers(1, 6),
    st.sampled_from(["row", "row", "deletion", "hit"]),
    st.integers(1, 9),
)


@given(st.lists(st.lists(changes, min_size=1), min_size=1, max_size=5), st.data())
def test_any_merging_keeps_what_counts(batches, data):
    whole = [change for batch in batches for change in batch]
    parts = [merge([part(*batch)], [], 0) for batch in batches]
    assert live(parts) == expected(whole)
    for _ in range(len(parts)):
        chosen = data.draw(st.sets(st.sampled_from(range(len(parts))), min_size=1))
        others = [KeyIndex(one.ids, one.rows) for at, one in enumerate(parts) if at not in chosen]
        merged = merge([parts[at] for at in sorted(chosen)], others, 0)
        parts = [one for at, one in enumerate(parts) if at not in chosen] + [merged]
        assert live(parts) == expected(whole)
    everything = merge(parts, [], 0)
    assert live([everything]) == expected(whole)
    assert everything.rows == len(expected(whole)), "what counts no more is gone"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 20)), min_size=1), st.data())
def test_expiry_and_merging_bring_nothing_back(versions, data):
    """Versions of different lifetimes, each in a segment of its own; time passes while they are merged."""
    rows = [entry(key, created, expires=expires) for key, created, expires in versions]
    # Of one version there is one.
    rows = list({(row.key, row.created): row for row in rows}.values())
    parts = [merge([part(row)], [], 0) for row in rows]
    now = 0
    for _ in range(6):
        now += data.draw(st.integers(0, 6))
        chosen = data.draw(st.sets(st.sampled_from(range(len(parts))), min_size=1))
        others = [KeyIndex(one.ids, one.rows) for at, one in enumerate(parts) if at not in chosen]
        merged = merge([parts[at] for at in sorted(chosen)], others, now)
        parts = [one for at, one in enumerate(parts) if at not in chosen] + [merged]
        assert live(parts, now) == expected(rows, now)


def test_a_folded_part_is_sorted_by_scope_with_its_vectors(unit):
    vectors = quantise(unit(50, DIM))
    rows = [Change(bytes([n]) * 32, bytes([n % 7]) * 32, 1, 9, 0, vectors[n]) for n in range(50)]
    merged = merge([part(*rows[:20]), part(*rows[20:])], [], 0)
    scopes = [bytes(row["scope"]) for row in merged.ids]
    assert scopes == sorted(scopes)
    for row, vector in zip(merged.ids, merged.vectors, strict=True):
        assert np.array_equal(vector, vectors[bytes(row["key"])[0]])


def test_a_hit_is_credited_to_its_row_and_waits_for_one_that_is_elsewhere():
    row, hit = entry(1, 5), entry(1, 5, used=50, row=False)
    together = merge([part(row), part(hit)], [], 0)
    assert (together.rows, len(together), together.ids["used"].tolist()) == (1, 1, [50])
    elsewhere = KeyIndex(*_key_index(row))
    waiting = merge([part(hit)], [elsewhere], 0)
    assert (waiting.rows, waiting.ids["used"].tolist()) == (0, [50])
    assert len(merge([part(hit)], [], 0)) == 0, "there is nothing that it could tell of"


def test_a_deletion_is_kept_while_its_row_could_still_come():
    deletion = entry(1, 5, row=False, expires=20)
    assert len(merge([part(deletion)], [], 10)) == 1
    assert len(merge([part(deletion)], [], 20)) == 0


def test_an_evicted_row_is_gone_and_does_not_uncover_an_older_one():
    old, new = entry(1, 5, expires=90), entry(1, 6, expires=50)
    keys = KeyIndex(*_key_index(new)).keys
    assert len(merge([part(new)], [], 0, keys)) == 0
    tombstones = merge([part(new)], [KeyIndex(*_key_index(old))], 0, keys)
    assert (tombstones.rows, tombstones.ids["expires"].tolist()) == (0, [90])


def test_of_equal_versions_the_newer_segments_row_stays():
    first, second = (KeyIndex(*_key_index(entry(1, 5), entry(2, 5))) for _ in range(2))
    old, new = superseded(first, second)
    assert sorted(old) == [0, 1]
    assert not len(new)


@given(st.sets(st.binary(min_size=32, max_size=32)), st.sets(st.binary(min_size=32, max_size=32), min_size=1))
def test_a_roll_finds_its_keys_and_no_others(stored, asked):
    rows = [Change(key, bytes(32), 1, 9, 0, ROW) for key in stored]
    key_index = KeyIndex(*_key_index(*rows))
    wanted = sorted(stored | asked)
    words = np.frombuffer(b"".join(wanted), np.uint64).reshape(-1, 4)
    for key, position in zip(wanted, key_index.finder.find(words), strict=True):
        assert (position != ABSENT) == (key in stored)
        if position != ABSENT:
            assert key_index.keys[position].tobytes() == key


def test_known_is_the_newest_of_all_segments():
    key_indexes = [
        KeyIndex(*_key_index(entry(1, 5, expires=70), entry(2, 5))),
        KeyIndex(*_key_index(entry(1, 6, row=False), entry(3, 1))),
    ]
    keys = np.frombuffer(bytes([1]) * 32 + bytes([2]) * 32 + bytes([9]) * 32, np.uint64).reshape(-1, 4)
    found = known(keys, key_indexes)
    assert found.version.tolist() == [13, 10, ABSENT]
    assert found.expires.tolist() == [70, 100, 0]


@pytest.mark.parametrize("n", [0, 1, 1000])
def test_a_roll_costs_60_bytes_an_entry(n):
    rows = [Change(sha256(b"%d" % at).digest(), bytes(32), 1, 9, 0, ROW) for at in range(n)]
    assert KeyIndex(*_key_index(*rows)).nbytes == 60 * n


def _key_index(*changes):
    one = part(*changes)
    return one.ids, one.rows
