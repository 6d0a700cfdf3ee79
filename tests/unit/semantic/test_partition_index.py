"""Segments and own writes in memory, as one."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from subsecond.semantic.index.entries import merge
from subsecond.semantic.index.memtable import deletion_of, write_of
from subsecond.semantic.index.partition_index import PartitionIndex, block_of
from subsecond.semantic.index.records import Change, part_of
from subsecond.semantic.index.segments import Part
from subsecond.semantic.index.vectors import SCALE, quantise
from tests.support.clock import Clock

DIM = 16


@pytest.fixture
def clock():
    return Clock(10.0)


@pytest.fixture
def partition_index(clock):
    return PartitionIndex(DIM, 8, clock)


def load(partition_index, *blocks):
    """As a reader does: the manifest now names these."""
    for one in blocks:
        partition_index.take_centre(one.vectors)
    partition_index.swap(
        partition_index.plan_swap(
            [one for one in blocks if one.id not in partition_index.blocks], [one.id for one in blocks]
        )
    )


def found(partition_index, change, k=9, scope=None):
    """The keys near this change's own vector, the nearest first."""
    vector = (change.row / np.float32(SCALE)).reshape(1, -1)
    return [one.key for one in partition_index.search(scope or change.scope, vector, k)[0]]


def own(change):
    return write_of(change.key.hex(), change.scope.hex(), change.created / 1e6, change.expires)


def floats(change):
    return change.row / np.float32(SCALE)


def test_a_neighbour_says_what_it_is(partition_index, block, change):
    one = change("a", created=5_000_000, expires=77)
    load(partition_index, block("1", [one]))
    (neighbour,) = partition_index.search(one.scope, floats(one).reshape(1, -1), 1)[0]
    assert (neighbour.key, neighbour.created, neighbour.expires) == (one.key.hex(), 5.0, 77.0)
    assert neighbour.similarity == pytest.approx(1, abs=1e-4)


def test_nothing_is_found_in_another_scope(partition_index, block, change):
    rows = [change(f"r{n}", scope=f"s{n}") for n in range(20)]
    load(partition_index, block("1", rows))
    partition_index.add(own(change("own", scope="s-own")), floats(change("own")))
    for row in rows:
        assert found(partition_index, row) == [row.key.hex()]
    assert found(partition_index, rows[0], scope=bytes(32)) == []
    assert found(partition_index, rows[0], scope=b"\xff" * 32) == []


def test_everything_is_found_anywhere_but_what_is_hidden(partition_index, block, change, clock):
    """In two segments and among own writes, each time the row whose vector it is; the nearest first."""
    one, two = (
        [change(f"r{n}", scope=f"s{n % 3}") for n in range(9)],
        [change(f"q{n}", scope=f"s{n}") for n in range(5)],
    )
    mine = [change(f"own{n}", scope=f"s{n}") for n in range(4)]
    load(partition_index, block("1", one), block("2", two))
    for row in mine:
        partition_index.add(own(row), floats(row))
    for row in (*one, *two, *mine):
        assert row.key.hex() in partition_index.anywhere(floats(row), 3)
    partition_index.forget(deletion_of(one[4].key.hex(), one[4].scope.hex(), 1e6))
    gone = {one[4].key.hex()}
    assert set(partition_index.anywhere(floats(one[4]), 99)) == {row.key.hex() for row in (*one, *two, *mine)} - gone


def test_an_empty_index_has_nothing_anywhere(partition_index, change):
    assert partition_index.anywhere(floats(change("a")), 3) == []


def test_a_scope_that_ends_in_zeros_is_a_scope_of_its_own(partition_index):
    vector = quantise(np.eye(DIM, dtype=np.float32)[0])
    scopes = [b"\1" * 31 + b"\0", b"\1" * 32, b"\1" * 30 + b"\0\0"]
    rows = [Change(bytes([n]) * 32, scope, 1, 99, 0, vector) for n, scope in enumerate(scopes)]
    part = merge([part_of(rows, DIM)], [], 0)
    load(partition_index, block_of("1", part.vectors, part.ids))
    for row in rows:
        assert found(partition_index, row) == [row.key.hex()]


def test_own_writes_are_found_at_once_and_once(partition_index, block, change):
    one = change("a")
    partition_index.add(own(one), floats(one))
    assert found(partition_index, one) == [one.key.hex()]
    load(partition_index, block("1", [one]))
    assert found(partition_index, one) == [one.key.hex()]
    assert partition_index.rows == 1, "the segment has it now"


def test_an_own_write_hides_the_older_version_now_and_in_segments_to_come(partition_index, block, change):
    old, new = change("a", created=1), change("a", created=2)
    load(partition_index, block("1", [old]))
    partition_index.add(own(new), floats(new))
    assert [one.created for one in partition_index.search(old.scope, floats(old).reshape(1, -1), 9)[0]] == [2e-6]
    load(partition_index, block("2", [old, change("b")]))
    assert [one.created for one in partition_index.search(old.scope, floats(old).reshape(1, -1), 1)[0]] == [2e-6]


def test_an_older_own_write_changes_nothing(partition_index, block, change):
    new, old = change("a", created=2), change("a", created=1)
    partition_index.add(own(new), floats(new))
    partition_index.add(own(old), floats(old))
    assert [one.created for one in partition_index.search(old.scope, floats(old).reshape(1, -1), 9)[0]] == [2e-6]


def test_what_was_deleted_here_stays_hidden(partition_index, block, change):
    one = change("a")
    partition_index.add(own(one), floats(one))
    gone = deletion_of(one.key.hex(), one.scope.hex(), one.created / 1e6)
    partition_index.forget(gone)
    assert found(partition_index, one) == []
    load(partition_index, block("1", [one]))
    assert found(partition_index, one) == [], "the segment does not know yet"
    load(partition_index, block("2", [change("a", created=3)]))
    assert found(partition_index, one) == [one.key.hex()], "stored again since"


def test_expired_rows_are_not_found(partition_index, block, change, clock):
    rows = [change("a", expires=20), change("b", expires=30)]
    load(partition_index, block("1", rows))
    recent = change("c", expires=25)
    partition_index.add(own(recent), floats(recent))
    for clock.now, count in ((19.9, 3), (20, 2), (25, 1), (29, 1), (30, 0)):
        assert len(found(partition_index, rows[0])) == count, clock.now


def test_a_deletion_in_a_later_segment_kills_the_row(partition_index, block, change):
    one = change("a", created=4)
    load(partition_index, block("1", [one]))
    load(partition_index, block("1", [one]), block("2", [change("a", created=4, row=False), change("b")]))
    assert one.key.hex() not in found(partition_index, one)


def test_a_merge_replaces_its_segments(partition_index, block, change):
    rows = [change(f"r{n}") for n in range(6)]
    first, second = block("1", rows[:3]), block("2", rows[3:])
    load(partition_index, first, second)
    assert len(found(partition_index, rows[0])) == 6
    load(partition_index, block("3", rows))
    assert len(found(partition_index, rows[0])) == 6
    assert list(partition_index.blocks) == ["3"]


def test_of_too_many_own_writes_the_oldest_go(partition_index, change):
    rows = [change(f"r{n}") for n in range(12)]
    for row in rows:
        partition_index.add(own(row), floats(row))
    assert sorted(found(partition_index, rows[0], k=99)) == sorted(row.key.hex() for row in rows[4:])


def test_a_large_scope_is_found_in_two_stages_as_well(partition_index, unit, clock):
    partition_index = PartitionIndex(256, 8, clock)
    vectors = unit(6000, 256)
    rows = [
        Change(bytes([n % 256, n // 256]) * 16, bytes(32), 1, 99, 0, row) for n, row in enumerate(quantise(vectors))
    ]
    parts = [merge([part_of(some, 256)], [], 0) for some in (rows[:5500], rows[5500:])]
    blocks = [block_of(str(at), part.vectors, part.ids) for at, part in enumerate(parts)]
    load(partition_index, blocks[0])
    load(partition_index, *blocks)
    assert all(one.sketch is not None for one in partition_index.blocks.values())
    for at in (3, 5777):
        assert found(partition_index, rows[at], k=1) == [rows[at].key.hex()]


@pytest.mark.parametrize("scopes", [1, 3000])
def test_it_costs_at_most_1_3_times_its_vectors(unit, scopes, clock):
    partition_index = PartitionIndex(256, 8, clock)
    rows = quantise(unit(3000, 256))
    changes = [Change(n.to_bytes(4) * 8, (n % scopes).to_bytes(4) * 8, 1, 99, 0, row) for n, row in enumerate(rows)]
    part = merge([part_of(changes, 256)], [], 0)
    load(partition_index, block_of("1", part.vectors, part.ids))
    assert partition_index.nbytes <= 1.3 * part.vectors.nbytes


class Owner(RuleBasedStateMachine):
    """Own writes, deletions, and segments that come late, merged, or again, against a dictionary."""

    def __init__(self):
        super().__init__()
        self.clock = Clock(10.0)
        self.partition_index = PartitionIndex(DIM, 1000, self.clock)
        self.created = 0
        self.truth = {}
        self.log = []
        self.indexed = 0
        self.segments = 0

    def _change(self, key, row):
        self.created += 1
        vector = quantise(np.eye(DIM, dtype=np.float32)[key % DIM])
        return Change(bytes([key]) * 32, bytes([key % 2]) * 32, self.created, 10**6, 0, vector if row else None)

    @rule(key=st.integers(0, 5))
    def write(self, key):
        change = self._change(key, row=True)
        self.log.append(change)
        self.truth[key] = change.created
        self.partition_index.add(own(change), floats(change))

    @rule(key=st.integers(0, 5))
    def delete(self, key):
        if key not in self.truth:
            return
        was = next(one for one in reversed(self.log) if one.key[0] == key)
        created = self.truth.pop(key)
        self.log.append(Change(was.key, was.scope, created, was.expires, 0, None))
        self.partition_index.forget(deletion_of(was.key.hex(), was.scope.hex(), created / 1e6))

    @precondition(lambda self: self.indexed < len(self.log))
    @rule(data=st.data())
    def index(self, data):
        """The next of what was written arrives, in a segment of its own or merged with all that is there."""
        upto = data.draw(st.integers(self.indexed + 1, len(self.log)))
        whole = data.draw(st.booleans())
        part = merge([part_of(self.log[0 if whole else self.indexed : upto], DIM)], [], 0)
        self.indexed = upto
        self.segments += 1
        new = block_of(str(self.segments), part.vectors, part.ids)
        kept = [] if whole else list(self.partition_index.blocks.values())
        load(self.partition_index, *kept, new)

    @invariant()
    def what_is_found_is_what_is_there(self):
        query = np.full((1, DIM), DIM**-0.5, np.float32)
        seen = {}
        for scope in (0, 1):
            for one in self.partition_index.search(bytes([scope]) * 32, query, 50)[0]:
                key = bytes.fromhex(one.key)[0]
                assert key % 2 == scope
                assert key not in seen
                seen[key] = round(one.created * 1e6)
        assert seen == self.truth


TestOwner = Owner.TestCase
TestOwner.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_empty_parts_make_empty_blocks(partition_index):
    empty = merge([part_of([], DIM)], [], 0)
    assert isinstance(empty, Part)
    load(partition_index, block_of("1", empty.vectors, empty.ids))
    assert partition_index.rows == 0
