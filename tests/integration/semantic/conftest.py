"""A table that writes stream records, indexers that can be killed, and ministack."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from hashlib import sha256
from types import SimpleNamespace

import boto3
import numpy as np
import pytest

from subsecond.semantic.index.compaction import CompactionLimits, Compactor
from subsecond.semantic.index.indexer import Indexer
from subsecond.semantic.index.reader import Reader, ReaderLimits
from subsecond.semantic.index.records import change_of
from subsecond.semantic.index.segments import IndexId
from subsecond.semantic.index.vectors import pack
from subsecond.semantic.index.writer import Writer, WriterLimits
from subsecond.stores.memory.objects import MemoryObjects
from tests.support.clock import Clock

DIM = 16
PLACE = IndexId("acme:prod", "hashing-16", DIM)


class Killed(BaseException):
    """The process ends here. Nothing of ours may catch it."""


class Mortal:
    """An object store whose user dies at its n-th write, counted from 0: before it is done, or after."""

    def __init__(self, inner, step, *, after):
        self._inner = inner
        self._left = step
        self._after = after
        self.writes = []
        self.is_dead = False

    async def get(self, name, known=None):
        return await self._inner.get(name, known)

    async def listed(self, prefix):
        return await self._inner.listed(prefix)

    async def put(self, name, data):
        return await self._write(name, self._inner.put(name, data))

    async def put_if(self, name, data, etag):
        return await self._write(name, self._inner.put_if(name, data, etag))

    async def delete(self, names):
        return await self._write(" ".join(names), self._inner.delete(names))

    async def _write(self, name, work):
        self.writes.append(name)
        dies = self._left == 0
        self._left -= 1
        self.is_dead |= dies
        if dies and not self._after:
            work.close()
            raise Killed
        done = await work
        if dies:
            raise Killed
        return done


def vector_of(name):
    vector = np.random.default_rng(list(name.encode())).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@dataclass
class Table:
    """The answers table: items by name, and the records of its stream, in DynamoDB's JSON."""

    clock: Clock
    ttl: float = 1000.0
    items: dict = field(default_factory=dict)
    stream: list = field(default_factory=list)

    def put(self, name, *, scope="s", ttl=None, embedder=PLACE.embedder, **more):
        self.clock.now += 0.001
        item = {
            "pk": {"S": f"{PLACE.partition}#{key_of(name)}"},
            "scope": {"S": key_of(scope)},
            "text": {"S": name},
            "vector": {"B": pack(vector_of(name))},
            "embedder": {"S": embedder},
            "created": {"N": f"{self.clock.now:.6f}"},
            "expires": {"N": str(int(self.clock.now + (ttl or self.ttl)))},
            **more,
        }
        return self._changed(name, item)

    def update(self, name, **more):
        return self._changed(name, {**self.items[name], **more})

    def remove(self, name):
        return self._changed(name, None)

    def expire(self):
        """What DynamoDB's TTL does, days late or not: REMOVE records for what has expired."""
        gone = [name for name, item in self.items.items() if int(item["expires"]["N"]) <= self.clock.now]
        return [self.remove(name) for name in gone]

    def _changed(self, name, item):
        old = self.items.pop(name, None)
        images = {"NewImage": item} if item else {}
        images |= {"OldImage": old} if old else {}
        if item:
            self.items[name] = item
        kind = "REMOVE" if not item else "MODIFY" if old else "INSERT"
        number = str(len(self.stream) + 1)
        record = {"eventName": kind, "dynamodb": {"SequenceNumber": number, **images}}
        self.stream.append(record)
        return record

    def live(self):
        """Name -> created of what can be found."""
        return {
            name: float(item["created"]["N"])
            for name, item in self.items.items()
            if int(item["expires"]["N"]) > self.clock.now
        }

    async def entries(self, index_id):
        """Compaction's view of it: as it is when the reading begins, page by page."""
        found = [change_of(item) for item in self.items.values()]
        for start in range(0, len(found), 7):
            yield [change for where, change in found[start : start + 7] if where == index_id]


def key_of(name):
    return sha256(name.encode()).hexdigest()


class Index:
    """One environment's indexer and compactor over an object store."""

    def __init__(self, objects, clock, limits=None, max_wait_s=20.0):
        self.objects = objects
        self.writer = Writer(objects, WriterLimits(max_wait_s=max_wait_s), clock)
        self.compactor = Compactor(self.writer, limits or CompactionLimits())
        self.indexer = Indexer(self.writer, self.compactor)
        self.handle = self.indexer.handle

    async def found(self, clock, names, scope="s"):
        """Name -> created, as a fresh environment finds them, asking for each by its own vector."""
        reader = Reader(self.objects, PLACE.embedder, DIM, clock=clock)
        await reader.refresh(PLACE.partition)
        return found_by(reader, names, scope)


def found_by(reader, names, scope="s"):
    names = {key_of(name): name for name in names}
    vector = np.full(DIM, DIM**-0.5, np.float32)
    neighbours = reader.search(PLACE.partition, key_of(scope), vector, 10_000)
    assert len({one.key for one in neighbours}) == len(neighbours), "an entry is found twice"
    return {names[one.key]: one.created for one in neighbours}


@pytest.fixture
def index_id():
    return PLACE


@pytest.fixture
def table(clock):
    return Table(clock)


@pytest.fixture
def objects(clock):
    return MemoryObjects(clock)


@pytest.fixture
def index(clock, objects):
    """`index()`: an environment over the shared objects; `index(mortal(3))`: one that dies at its write number 3."""
    return lambda inner=objects, **options: Index(inner, clock, **options)


@pytest.fixture
def mortal(objects):
    return lambda step, *, after=False: Mortal(objects, step, after=after)


@pytest.fixture
def killed():
    return Killed


@pytest.fixture
def reader(clock, objects):
    """`reader()`: a gateway's reader that asks for the manifest each time."""
    return lambda **limits: Reader(objects, PLACE.embedder, DIM, ReaderLimits(every=0, **limits), clock=clock)


@pytest.fixture
def seen_by():
    return found_by


@pytest.fixture
def vector():
    return vector_of


@pytest.fixture
def key():
    return key_of


@pytest.fixture
def bucket(emulator, monkeypatch):
    """A bucket of its own in ministack, by its name."""
    for name, value in emulator.items():
        monkeypatch.setenv(name, value)
    name = f"index-{time.time_ns()}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    client.close()
    return name


@pytest.fixture
def machine_parts():
    """What the state machine builds a world from for each example; a fixture lives longer."""

    def reader_of(objects, clock):
        return Reader(objects, PLACE.embedder, DIM, ReaderLimits(every=0), clock=clock)

    return SimpleNamespace(
        clock=Clock,
        objects=MemoryObjects,
        vector=vector_of,
        key=key_of,
        found_by=found_by,
        killed=Killed,
        index_id=PLACE,
        table_of=Table,
        index_of=Index,
        reader_of=reader_of,
        mortal_of=Mortal,
    )
