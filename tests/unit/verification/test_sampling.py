"""Which hits are checked, what is kept of them, and when the judge is measured."""

import time
from dataclasses import replace

import pytest

from subsecond.model import Entry, Prompt, Recording, Request
from subsecond.semantic.verification.accuracy import SEEDS, Accuracy
from subsecond.semantic.verification.intervals import Counted, JudgeErrors
from subsecond.semantic.verification.sampling import Sampling, context_of, is_sampled, seeds_are_due
from subsecond.semantic.verification.surge import Pace, Watch
from subsecond.stats.trace import Trace

NAMES = [f"req_{number}" for number in range(4_000)]


def test_the_share_of_the_names_is_chosen_and_all_or_none_at_the_ends():
    assert sum(is_sampled(name, 0.25) for name in NAMES) == pytest.approx(1_000, abs=100)
    assert all(is_sampled(name, 1.0) for name in NAMES)
    assert not any(is_sampled(name, 0.0) for name in NAMES)


def test_a_name_is_decided_on_alike_and_a_larger_share_drops_nobody():
    for name in NAMES[:100]:
        assert is_sampled(name, 0.3) == is_sampled(name, 0.3) <= is_sampled(name, 0.4)


@pytest.mark.parametrize(
    ("checks", "shadow", "wrong", "right", "due"),
    [
        (5, 0, 0, 0, True),
        (4, 0, 0, 0, False),
        (2, 3, 0, 0, True),
        (5, 0, SEEDS, SEEDS - 1, True),
        (5, 0, SEEDS - 1, SEEDS, True),
        (5, 0, SEEDS, SEEDS, False),
        (10, 0, SEEDS, SEEDS, True),
        (15, 0, SEEDS, SEEDS, False),
        (7, 3, SEEDS, SEEDS, True),
    ],
)
def test_the_judge_is_measured_every_fifth_check_until_it_is_known_and_every_tenth_from_then_on(
    checks, shadow, wrong, right, due
):
    known = JudgeErrors(wrong=Counted(wrong), right=Counted(right))
    begun = Accuracy.begin(0.05, 0.8, trial=False)
    accuracy = replace(begun, checked=Counted(checks), shadow=Counted(shadow), judge=known)
    assert seeds_are_due(accuracy) == due


def test_a_sample_has_what_a_check_needs(ask, tenant):
    turns = [{"role": "system", "content": "Brief."}, {"role": "user", "content": "Can I have 2 cards?"}]
    call = ask("Can I have 2 cards?", messages=turns)
    request = Request(tenant, call, Prompt("key", "scope", "Can I have 2 cards?"), Trace("req_1"))
    recording = Recording("whole", (b"{}",), "stop", text="Yes.")
    entry = Entry("acme:prod", Prompt("k2", "scope", "Can I get 2 cards?"), recording, 1.0, 2.0, b"stored", "static-1")
    before = time.time()
    watch = Watch()
    watch.requests = 7
    watch.hit(Pace(), 0)
    watch.surged = 3
    found = Sampling(1.0, 0.05, 0.8).sample(request, entry, b"asked", 0.9, shadow=True, watch=watch)
    assert (found.gap, found.surged) == (7, 3)
    unwatched = Sampling(1.0, 0.05, 0.8).sample(request, entry, b"asked", 0.9, shadow=True)
    assert (unwatched.gap, unwatched.surged) == (0, 0)
    assert before <= found.at <= time.time()
    assert (found.request_id, found.partition, found.entry) == ("req_1", "acme:prod", "k2")
    assert (found.score, found.bound, found.cut, found.shadow) == (0.9, 0.05, 0.8, True)
    assert (found.asked, found.stored, found.answer) == ("Can I have 2 cards?", "Can I get 2 cards?", "Yes.")
    assert found.context == '[{"role": "system", "content": "Brief."}]'
    assert (found.embedder, found.asked_vector, found.stored_vector) == ("static-1", b"asked", b"stored")
    assert Sampling(0.0, 0.05, 0.8).sample(request, entry, b"asked", 0.9, shadow=False) is None


def test_the_context_is_all_but_the_last_turn_in_its_own_letters(ask):
    call = ask("Und morgen?")
    assert context_of(call) == ""
    turns = [{"role": "user", "content": "Grüße"}, {"role": "user", "content": "Und morgen?"}]
    assert context_of(replace(call, body={"messages": turns})) == '[{"role": "user", "content": "Grüße"}]'
    assert context_of(replace(call, body={"prompt": "Und morgen?"})) == ""
    assert context_of(replace(call, body={"messages": "Und morgen?"})) == ""
