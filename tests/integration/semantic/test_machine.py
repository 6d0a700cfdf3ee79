"""Writers, indexers that die, expiry, compaction and readers, in any order, against the table itself."""

import asyncio
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

NAMES = st.sampled_from([f"n{n}" for n in range(8)])


class Machine(RuleBasedStateMachine):
    """The stream is delivered in order by two environments that share it, and again at times, as Lambda does."""

    # Tools to build a world from, set by the test.
    parts = None
    old_batches = Bundle("old batches")

    def __init__(self):
        super().__init__()
        self.loop = asyncio.Runner()
        self.clock = self.parts.clock()
        self.table = self.parts.table_of(self.clock)
        self.objects = self.parts.objects(self.clock)
        self.environments = [self.parts.index_of(self.objects, self.clock) for _ in range(2)]
        self.reader = self.parts.reader_of(self.objects, self.clock)
        self.delivered = 0
        self.owned = {}

    def teardown(self):
        self.run(self.settle())
        self.loop.close()

    def run(self, work):
        return self.loop.run(work)

    @initialize(target=old_batches)
    def nothing_yet(self):
        return multiple()

    @rule(name=NAMES, own=st.booleans())
    def write(self, name, own):
        record = self.table.put(name)
        if own:
            image = record["dynamodb"]["NewImage"]
            created, expires = float(image["created"]["N"]), float(image["expires"]["N"])
            vector, key = self.parts.vector(name), self.parts.key
            self.reader.add("acme:prod", key(name), key("s"), created, expires, vector)
            self.owned[name] = created

    @rule(name=NAMES)
    def delete(self, name):
        if name in self.table.items:
            self.table.remove(name)

    @rule(name=NAMES)
    def hit(self, name):
        if name in self.table.items:
            self.table.update(name, used={"N": str(int(self.clock.now))})

    @rule(seconds=st.integers(1, 400))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule()
    def ttl_deletes(self):
        self.table.expire()

    @precondition(lambda self: self.delivered < len(self.table.stream))
    @rule(
        target=old_batches,
        count=st.integers(1, 6),
        which=st.integers(0, 1),
        step=st.none() | st.integers(0, 3),
        after=st.booleans(),
    )
    def deliver(self, count, which, step, after):
        """The next records; when the environment dies, a new one gets them again."""
        batch = self.table.stream[self.delivered : self.delivered + count]
        if step is not None:
            dying = self.parts.index_of(self.parts.mortal_of(self.objects, step, after=after), self.clock)
            with suppress(self.parts.killed):
                self.run(dying.handle(batch))
            self.environments[which] = self.parts.index_of(self.objects, self.clock)
        assert self.run(self.environments[which].handle(batch)) == []
        self.delivered += len(batch)
        return batch

    @rule(batch=old_batches, which=st.integers(0, 1))
    def deliver_again(self, batch, which):
        assert self.run(self.environments[which].handle(batch)) == []

    @rule(which=st.integers(0, 1), step=st.none() | st.integers(0, 6), after=st.booleans())
    def keep_up(self, which, step, after):
        if step is None:
            self.run(self.environments[which].compactor.compact(self.parts.index_id, self.table))
            return
        with suppress(self.parts.killed):
            dying = self.parts.index_of(self.parts.mortal_of(self.objects, step, after=after), self.clock)
            self.run(dying.compactor.compact(self.parts.index_id, self.table))

    @rule()
    def rebuild(self):
        self.run(self.environments[0].compactor.rebuild(self.parts.index_id, self.table))

    @rule()
    def refresh(self):
        self.run(self.reader.refresh("acme:prod"))

    @invariant()
    def the_reader_finds_its_own_writes_and_nothing_expired(self):
        found = self.parts.found_by(self.reader, [f"n{n}" for n in range(8)])
        live = self.table.live()
        for name, created in self.owned.items():
            if live.get(name) == created:
                assert found.get(name) == created, name
        for name, created in found.items():
            assert created + self.table.ttl >= self.clock.now - 1, name

    async def settle(self):
        """When all is delivered, every environment finds the table, and compaction changes nothing about it."""
        names = [f"n{n}" for n in range(8)]
        for environment in (self.environments[0], self.parts.index_of(self.objects, self.clock)):
            assert await environment.handle(self.table.stream[self.delivered :]) == []
            assert await environment.found(self.clock, names) == self.table.live()
            await environment.compactor.compact(self.parts.index_id, self.table)
        assert await self.environments[1].found(self.clock, names) == self.table.live()
        await self.reader.refresh("acme:prod")
        found = self.parts.found_by(self.reader, names)
        # It has own writes that were replaced or deleted by others, which it learns from the segments.
        assert found == self.table.live()
        report = await self.environments[0].compactor.verify(self.parts.index_id, self.table)
        assert report.is_right, report
        self.clock.now += 5 * 3600
        await self.environments[0].compactor.delete_orphans(self.parts.index_id)
        manifest, _ = await self.environments[0].writer.manifest(self.parts.index_id)
        named = {f"segment-{one.id}{suffix}" for one in manifest.segments for suffix in (".npy", ".ids.npy")}
        listed = await self.objects.listed(self.parts.index_id.prefix)
        there = {one.name.rpartition("/")[2] for one in listed}
        assert there - {"manifest.json"} == named


def test_the_index_is_the_table(machine_parts):
    Machine.parts = machine_parts
    machine = Machine.TestCase
    machine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    machine("runTest").runTest()
