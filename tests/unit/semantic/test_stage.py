"""The semantic stage on stores in memory: what one request may have judged, and which form of an answer serves."""

import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from subsecond.cache.invalidation import Rules
from subsecond.config import Settings
from subsecond.model import CacheRules, Call, Entry, Prompt, Recording, Request, Rule, Tenant
from subsecond.ports import TOO_LONG, Verdict
from subsecond.semantic.index.reader import Reader
from subsecond.semantic.policies.guarded import build
from subsecond.stages.semantic import CANDIDATES, JUDGED_CHARS, SemanticCache
from subsecond.stats.trace import Trace
from subsecond.stores.memory.answers import MemoryStore
from subsecond.stores.memory.invalidations import MemoryInvalidations
from subsecond.stores.memory.objects import MemoryObjects

TENANT = Tenant("acme", "prod", "k")
CALL = Call("chat", "m", {})
SCOPE = "5c" * 32
RECORDING = Recording("whole", (b"{}",), "stop", "m", text="Yes.")
DIM = 16
# In the middle of every text's vector: the nearest is the one that was stored first.
QUESTION = np.eye(1, DIM, dtype=np.float32)[0]


@dataclass
class Noting:
    """Answers every candidate with the same word, and notes how many characters it was given."""

    decision: str = "miss"
    floor: float = 0.0
    seen: list[int] = field(default_factory=list)

    def judge(self, asked, candidate):
        self.seen.append(len(asked) + len(candidate.text))
        return Verdict(self.decision, ("noted",), 0.0)


class OneVector:
    """An embedder that is never asked: the tests bring their vectors."""

    id, dim, max_chars = "one", DIM, 8_000


async def stage(policy, texts):
    """The stage with these questions stored, the first the nearest to QUESTION."""
    store, made = MemoryStore(1 << 20), SemanticCache(OneVector(), Reader(MemoryObjects(), "one", DIM), policy, 60.0)
    for rank, text in enumerate(texts):
        vector = QUESTION.copy()
        vector[1] = 0.1 * (rank + 1)
        vector /= np.linalg.norm(vector)
        prompt = Prompt(f"{rank:064x}", SCOPE, text)
        entry = Entry(TENANT.partition, prompt, RECORDING, time.time(), time.time() + 99)
        entry = made.with_vector(entry, vector)
        await store.put(entry)
        made.learn(entry, vector)
    return store, made


async def find(policy, asked, texts):
    store, made = await stage(policy, texts)
    trace = Trace()
    return await made.find(store, request(CALL, asked, trace), QUESTION), trace


def request(call, asked="How?", trace=None):
    return Request(TENANT, call, Prompt("ab" * 32, SCOPE, asked), trace or Trace())


@pytest.mark.parametrize(
    ("length", "judged"), [(20, CANDIDATES), (JUDGED_CHARS // 6, CANDIDATES), (700, 2), (1_001, 1), (2_000, 1)]
)
async def test_a_request_has_no_more_characters_judged_than_its_budget(length, judged):
    policy = Noting()
    found, trace = await find(policy, "q" * length, ["t" * length] * CANDIDATES)
    assert found is None
    assert policy.seen == [2 * length] * judged
    assert sum(policy.seen) <= JUDGED_CHARS
    assert trace.counts == ({"semantic_unjudged": CANDIDATES - judged} if judged < CANDIDATES else {})


async def test_the_nearest_candidate_is_judged_however_long_it_is():
    found, trace = await find(Noting("hit"), "q" * 8_000, ["t" * 8_000])
    assert found.prompt.text == "t" * 8_000
    assert not trace.counts


async def test_a_short_candidate_behind_a_long_one_still_fits():
    policy = Noting()
    _, trace = await find(policy, "q" * 100, ["t" * 2_000, "t" * 7_000, "t" * 200])
    assert policy.seen == [2_100, 300]
    assert trace.counts == {"semantic_unjudged": 1}


async def test_a_miss_because_of_the_length_is_counted():
    policy = build(Settings())
    long = "How do I pay for the third apple? " * 80
    found, trace = await find(policy, long, [long.replace("third", "fourth")])
    assert found is None
    assert trace.verdicts[0]["reasons"] == [TOO_LONG]
    assert trace.counts == {"semantic_too_long": 1}
    found, trace = await find(policy, long, [f" {long}"])
    assert found.prompt.text == f" {long}"
    assert not trace.counts


# One question, recorded whole some time ago and as a stream just now: one row of the index, of the stream's date.

AGO = 100.0
STREAMED = replace(CALL, form="stream")


@pytest.fixture
async def both():
    """`await both(whole="length")`: the store and the stage, with these finish reasons."""

    async def make(**finishes):
        store, made = await stage(Noting("hit"), ["What?"])
        first = store.in_memory(TENANT.partition)[0]
        await store.drop(TENANT.partition, first.prompt.key, time.time())
        for form, created in (("whole", time.time() - AGO), ("stream", time.time())):
            told = replace(RECORDING, form=form, finish=finishes.get(form, "stop"))
            entry = made.with_vector(replace(first, recording=told, created=created), QUESTION)
            await store.put(entry)
            made.learn(entry, QUESTION)
        return store, made

    return make


@pytest.mark.parametrize(("cut", "other"), [("whole", "stream"), ("stream", "whole")])
async def test_a_form_that_was_cut_by_a_limit_serves_nobody_and_the_other_does(both, cut, other):
    store, made = await both(**{cut: "length"})
    assert await made.find(store, request(replace(CALL, form=cut)), QUESTION) is None
    assert (await made.find(store, request(replace(CALL, form=other)), QUESTION)).recording.form == other


async def test_a_form_that_was_invalidated_does_not_take_the_newer_one_along(both):
    store, made = await both()
    rules = Rules(MemoryInvalidations(), 10_000.0)
    made = replace(made, rules=rules)
    await rules.add(TENANT.partition, Rule("namespace", "", time.time() - AGO / 2, time.time() + 99))
    for _ in range(2):
        assert await made.find(store, request(CALL), QUESTION) is None
        assert (await made.find(store, request(STREAMED), QUESTION)).recording.form == "stream"


async def test_the_age_that_counts_is_the_forms_own(both):
    store, made = await both()
    young = CacheRules(max_age=AGO / 2)
    assert await made.find(store, request(replace(CALL, rules=young)), QUESTION) is None
    assert await made.find(store, request(replace(STREAMED, rules=young)), QUESTION)
    assert await made.find(store, request(CALL), QUESTION)
