"""Samples, a judge that is no model, and a store whose user can die at any write."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from subsecond.semantic.index.vectors import pack
from subsecond.semantic.verification.budget import Budget
from subsecond.semantic.verification.checker import Checker
from subsecond.semantic.verification.judge import Said
from subsecond.semantic.verification.queue import Queue
from subsecond.semantic.verification.samples import Sample
from subsecond.stores.memory.objects import MemoryObjects
from tests.support.clock import Clock

PARTITION = "acme:prod"


class Killed(BaseException):
    """The process ends here. Nothing of ours may catch it."""


class Mortal:
    """An object store whose user dies at its n-th write, counted from 0: before it is done, or after."""

    def __init__(self, inner, step, *, after):
        self._inner, self._left, self._after = inner, step, after

    async def get(self, name, known=None):
        return await self._inner.get(name, known)

    async def listed(self, prefix):
        return await self._inner.listed(prefix)

    async def put_if(self, name, data, etag):
        return await self._write(self._inner.put_if(name, data, etag))

    async def delete(self, names):
        return await self._write(self._inner.delete(names))

    async def _write(self, work):
        dies, self._left = self._left == 0, self._left - 1
        if dies and not self._after:
            work.close()
            raise Killed
        done = await work
        if dies:
            raise Killed
        return done


@dataclass
class RuleJudge:
    """Says no where the numbers differ. It counts what it is asked, raises what it is told to, and first does what it
    is told to."""

    model: str = "judge"
    asked: list = field(default_factory=list)
    raises: list = field(default_factory=list)
    before: list = field(default_factory=list)

    async def says(self, sample):
        self.asked.append(sample)
        if self.before:
            await self.before.pop()()
        if self.raises:
            raise self.raises.pop()
        wrong = re.findall(r"\d+", sample.asked) != re.findall(r"\d+", sample.stored) or "not" in sample.asked
        return Said(wrong, unread=False, tokens=100)


def a_sample(number=0, *, asked="Can I have 2 cards?", partition=PARTITION, shadow=False, bound=0.05, at=1.7e9):
    import numpy as np

    vector = np.random.default_rng(number).standard_normal(8).astype(np.float32)
    packed = pack(vector / np.linalg.norm(vector))
    return Sample(
        request_id=f"req_{number:04}",
        partition=partition,
        entry="ab" * 32,
        at=at,
        score=0.95,
        bound=bound,
        cut=0.8,
        embedder="hashing-8",
        asked=asked,
        stored="Can I get 2 cards?",
        answer="Yes.",
        shadow=shadow,
        asked_vector=packed,
        stored_vector=packed,
    )


@pytest.fixture
def parts():
    """What the state machine builds a world from for each example; a fixture lives longer."""
    return SimpleNamespace(
        clock=Clock, objects=MemoryObjects, mortal=Mortal, killed=Killed, judge=RuleJudge, checker=checker_of
    )


def checker_of(objects, judge, clock, *, calls=1_000, tokens=1_000_000):
    checks = Queue(lambda: objects)
    return Checker(checks, judge, Budget(checks, calls, tokens, clock), clock)


@pytest.fixture
def sample():
    return a_sample


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def objects(clock):
    return MemoryObjects(clock)


@pytest.fixture
def judge():
    return RuleJudge()


@pytest.fixture
def checks(objects):
    return Queue(lambda: objects)


@pytest.fixture
def checker(objects, judge, clock):
    """`checker(calls=5)`: a new process over the same objects."""
    return lambda inner=objects, **limits: checker_of(inner, judge, clock, **limits)
