"""The feed: what it hands over, in which order, and what it does when something fails."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond_local.emulator.stream_feed import (
    UPKEEP,
    Feed,
    FeedLimits,
    FunctionAway,
    FunctionFailed,
    Shard,
    SourceAway,
)
from subsecond_local.run.children import StopRequested


def record(name):
    return {"eventName": "INSERT", "dynamodb": {"SequenceNumber": name}}


@dataclass
class Stream:
    """A stream in memory: shards with their parent, their records, and whether they have ended."""

    shards_: dict = field(default_factory=dict)
    table: list = field(default_factory=list)
    # What goes wrong at the next calls: an error, or None.
    faults: list = field(default_factory=list)
    calls: int = 0

    def shard(self, name, *records, parent=None, ended=False):
        self.shards_[name] = {"parent": parent, "records": list(map(record, records)), "ended": ended}
        return self.shards_[name]

    def shards(self):
        self._fault()
        return [Shard(name, shard["parent"]) for name, shard in self.shards_.items()]

    def oldest(self, shard):
        return f"{shard}@0"

    def read(self, iterator, limit):
        self._fault()
        name, _, at = iterator.partition("@")
        shard, start = self.shards_[name], int(at)
        found = shard["records"][start : start + limit]
        end = start + len(found)
        return found, None if shard["ended"] and end == len(shard["records"]) else f"{name}@{end}"

    def stored(self):
        yield from ([record(name)] for name in self.table)

    def _fault(self):
        self.calls += 1
        if self.faults and (fault := self.faults.pop(0)):
            raise fault


@dataclass
class Indexer:
    """Keeps what it is given. `bad`: fails on these, naming the first; `deadly`: fails on them as a whole."""

    bad: dict = field(default_factory=dict)
    deadly: set = field(default_factory=set)
    away: int = 0
    events: list = field(default_factory=list)
    kept: list = field(default_factory=list)
    upkeeps: int = 0

    def __call__(self, event):
        if self.away:
            self.away -= 1
            raise FunctionAway("restarting")
        if event == UPKEEP:
            self.upkeeps += 1
            return None
        names = [one["dynamodb"]["SequenceNumber"] for one in event["Records"]]
        self.events.append(names)
        if self.deadly & set(names):
            raise FunctionFailed("it died")
        failed = [name for name in names if self.bad.get(name)]
        for name in failed:
            self.bad[name] -= 1
        first = names.index(failed[0]) if failed else len(names)
        self.kept += names[:first]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in reversed(names[first:])]}


@dataclass
class World:
    """A feed with a clock of its own: it stops after so many pauses."""

    stream: Stream = field(default_factory=Stream)
    indexer: Indexer = field(default_factory=Indexer)
    pauses: list = field(default_factory=list)
    said: list = field(default_factory=list)
    now: float = 0.0
    # Called before each pause with its number.
    meanwhile: object = lambda _number: None

    def run(self, rests=30, **limits):
        def rest(seconds):
            self.meanwhile(len(self.pauses))
            if len(self.pauses) == rests:
                raise StopRequested
            self.pauses.append(seconds)
            self.now += seconds

        Feed(self.stream, self.indexer, rest, self.said.append, FeedLimits(**limits), lambda: self.now).run()
        return self.indexer.kept


@pytest.fixture
def world():
    return World()


NAMES = [f"{number:03}" for number in range(20)]


def test_records_come_in_order_in_batches_once(world):
    world.stream.shard("s", *NAMES)
    assert world.run(batch=8) == NAMES
    assert [len(event) for event in world.indexer.events] == [8, 8, 4]
    assert not world.said


def test_what_is_written_later_follows(world):
    shard = world.stream.shard("s", *NAMES[:3])
    world.meanwhile = lambda number: shard["records"].extend(map(record, NAMES[3:])) if number == 5 else None
    assert world.run() == NAMES


def test_the_gap_grows_while_nothing_happens_and_shrinks_when_something_does(world):
    shard = world.stream.shard("s")
    world.meanwhile = lambda number: shard["records"].append(record("late")) if number == 50 else None
    world.run(rests=52)
    assert world.pauses[0] < world.pauses[20] < world.pauses[49] == 0.5
    assert world.pauses[51] == 0.2


def test_the_table_comes_before_the_stream(world):
    world.stream.table = ["stored-1", "stored-2"]
    world.stream.shard("s", *NAMES)
    assert world.run() == ["stored-1", "stored-2", *NAMES]


def test_a_shard_waits_for_its_parents_end(world):
    parent = world.stream.shard("parent", *NAMES[:10])
    world.stream.shard("left", *NAMES[10:15], parent="parent")
    world.stream.shard("right", *NAMES[15:], parent="parent")
    world.meanwhile = lambda number: parent.update(ended=True) if number == 3 else None
    assert world.run(rests=2) == NAMES[:10]
    world.pauses.clear()
    world.indexer.kept.clear()
    assert world.run() == NAMES


def test_a_failed_record_is_tried_again_with_growing_pauses_and_keeps_the_order(world):
    world.stream.shard("s", *NAMES)
    world.indexer.bad = {"005": 3, "011": 4}
    assert world.run() == NAMES
    assert world.indexer.events[:3] == [NAMES, NAMES[5:], NAMES[5:]]
    assert world.pauses[:4] == [0.25, 0.5, 1.0, 0.25]
    assert not world.said


def test_a_record_that_never_succeeds_is_given_up_with_one_line(world):
    world.stream.shard("s", *NAMES)
    world.indexer.bad = {"005": 1000}
    assert world.run(attempts=4) == [name for name in NAMES if name != "005"]
    assert world.said == ["A record is given up after 4 attempts: INSERT 005"]


def test_a_record_that_kills_the_function_is_found_and_takes_no_other_along(world):
    world.stream.shard("s", *NAMES)
    world.indexer.deadly = {"013"}
    assert world.run(attempts=4) == [name for name in NAMES if name != "013"]
    assert world.said == ["A record is given up after 4 attempts: INSERT 013 (it died)"]


@pytest.mark.parametrize(
    "result", [{"batchItemFailures": [{"itemIdentifier": "another"}]}, {"batchItemFailures": [{}]}, [1], "done"]
)
def test_a_result_that_cannot_be_read_is_a_failure_of_the_whole_batch(world, result):
    world.stream.shard("s", *NAMES[:2])
    seen = []

    def odd(event):
        seen.append(len(event["Records"]))
        return result if len(seen) == 1 else None

    world.indexer = odd
    with pytest.raises(AttributeError):  # it keeps nothing
        world.run()
    assert seen == [2, 1, 1]


@pytest.mark.parametrize("result", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_nothing_reported_is_success(world, result):
    world.stream.shard("s", *NAMES[:2])
    seen = []
    world.indexer = lambda event: seen.append(len(event["Records"])) or result
    with pytest.raises(AttributeError):
        world.run()
    assert seen == [2]


def test_a_stream_that_was_away_is_read_again_from_its_beginning_and_said_once(world):
    shard = world.stream.shard("s", *NAMES[:10])
    away = SourceAway("refused")
    world.stream.faults = [None, None, *[away] * 6, None, None, away, away]
    world.meanwhile = lambda number: shard["records"].extend(map(record, NAMES[10:])) if number == 3 else None
    kept = world.run()
    assert kept == [*NAMES[:10], *NAMES, *NAMES]
    assert world.said == ["Indexing waits: the stream cannot be read (refused).", "Indexing goes on."] * 2
    assert world.pauses[1:7] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert world.pauses[8:10] == [0.25, 0.5]


def test_a_function_that_cannot_be_asked_costs_no_attempt(world):
    world.stream.shard("s", *NAMES)
    world.indexer.away = 12
    assert world.run(attempts=2) == NAMES
    assert world.said == ["Indexing waits: the function cannot be asked (restarting).", "Indexing goes on."]
    assert max(world.pauses) == 10


def test_the_upkeep_comes_by_the_clock_once_there_is_something_to_keep_up(world):
    shard = world.stream.shard("s")
    world.meanwhile = lambda number: shard["records"].append(record("a")) if number == 100 else None
    world.run(rests=100, upkeep=10)
    assert world.indexer.upkeeps == 0
    world.pauses.clear()
    world.now = 0.0
    world.meanwhile = lambda _number: None
    world.run(rests=100, upkeep=10)
    assert world.indexer.upkeeps == world.now // 10


def test_asked_to_stop_while_a_record_fails_it_ends(world):
    world.stream.shard("s", *NAMES)
    world.indexer.bad = {"000": 1000}
    assert world.run(rests=2) == []
    assert len(world.indexer.events) == 3


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_fails_nothing_is_lost_and_the_order_is_kept(data):
    names = NAMES[: data.draw(st.integers(0, 20))]
    some = st.sets(st.sampled_from(NAMES), max_size=3)
    deadly, hopeless = data.draw(some), data.draw(some)
    times = data.draw(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3), max_size=4))
    indexer = Indexer(
        bad={**{name: count for name, count in times.items() if name not in hopeless}, **dict.fromkeys(hopeless, 999)},
        deadly=deadly,
        away=data.draw(st.integers(0, 3)),
    )
    stream = Stream(faults=data.draw(st.lists(st.sampled_from([None, SourceAway("x")]), max_size=6)))
    stream.shard("s", *names)
    kept = World(stream, indexer).run(rests=300, attempts=4, batch=data.draw(st.integers(1, 8)))
    assert [name for at, name in enumerate(kept) if name not in kept[:at]] == [
        name for name in names if name not in deadly | hopeless
    ]
