"""Streams, hits in both environments, a similar question, and an answer whose object is gone."""

import pytest

from subsecond_local.verify.checks import answers, stores
from subsecond_local.verify.run import PARTITION
from tests.support.verify import MemoryAccount, refusal, reply, run_of, streamed, whole

CHAT, EXPLAIN = ("POST", "/v1/chat/completions"), ("POST", "/v1/cache/explain")
WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def explained(source, *reasons, **more):
    return reply({"source": source, "reasons": list(reasons), **more})


def test_what_arrives_as_it_is_made_is_streamed():
    sent = streamed(WORDS, gap=0.02)
    found = answers.judged(sent.arrivals, len(sent.events), sent.seconds)
    assert found.state == "passed"
    assert found.figures == {
        "first_byte_ms": 100.0,
        "gap_ms": 20.0,
        "longest_gap_ms": 20.0,
        "tail_ms": 5.0,
        "events": 10,
        "arrivals": 11,
    }


@pytest.mark.parametrize("gap", [0.0, 0.15])
def test_what_was_held_back_is_not_streamed_however_long_its_few_pieces_take(gap):
    """A buffered answer over a slow line: two pieces, each with many events."""
    sent = streamed(WORDS, gap=gap, at_once=6)
    found = answers.judged(sent.arrivals, len(sent.events), sent.seconds)
    assert found.state == "failed"
    assert "not streamed" in found.said


def test_chunks_that_come_at_the_same_moment_are_one_arrival():
    sent = streamed(WORDS, gap=0.0001)
    assert len(answers.arrived(sent.arrivals)) == 1
    assert answers.judged(sent.arrivals, len(sent.events), sent.seconds).state == "failed"


def test_of_few_events_nothing_can_be_told():
    sent = streamed(WORDS[:3])
    found = answers.judged(sent.arrivals, len(sent.events), sent.seconds)
    assert (found.state, "too few" in found.said) == ("not run", True)


def test_an_answer_that_breaks_off_or_is_refused_fails():
    broken = reply(b'data: {"choices": []}\n\n')
    assert "broke off" in answers.answer(run_of({CHAT: broken})).said
    found = answers.answer(run_of({CHAT: refusal(502, "no such key")}))
    assert (found.state, "502: no such key" in found.said) == ("failed", True)


def test_without_a_model_nothing_is_asked():
    run = run_of()
    run.model = ""
    assert answers.answer(run).state == "not run"
    assert run.asked == []


def answered(**faces):
    run = run_of(**faces)
    run.streamed = streamed(WORDS)
    return run


def test_an_exact_hit_is_the_same_text_without_a_model():
    hit = {EXPLAIN: explained("exact"), CHAT: streamed(WORDS, gap=0, source="exact")}
    run = answered(streaming=hit)
    assert answers.exact(run).state == "passed"
    # 504 and no call where it is not there: the check spends nothing.
    assert run.faces["streaming"].asked[-1].headers["cache-control"] == "only-if-cached"


@pytest.mark.parametrize(
    ("said", "chat"),
    [
        ("not stored: it was cut", None),
        ("504", refusal(504)),
        ("200, semantic", streamed(WORDS, source="semantic")),
        ("another one", streamed([*WORDS, "eleven"], source="exact")),
    ],
)
def test_an_exact_hit_that_is_none_fails(said, chat):
    source = "exact" if chat else "upstream"
    found = answers.exact(answered(streaming={EXPLAIN: explained(source, "it was cut"), CHAT: chat}))
    assert (found.state, said in found.said) == ("failed", True)


def test_the_other_function_has_it_from_the_tables_in_the_other_form():
    text = " ".join(WORDS) + " "
    run = answered(completion={EXPLAIN: explained("exact"), CHAT: whole(text, "exact")})
    assert answers.elsewhere(run).state == "passed"
    assert "stream" not in run.faces["completion"].asked[-1].body
    run = answered(completion={EXPLAIN: explained("exact"), CHAT: whole("other", "exact")})
    assert answers.elsewhere(run).state == "failed"


def test_a_semantic_hit_is_waited_for_by_questions_that_spend_nothing():
    waited = [explained("upstream", "no index")] * 3 + [explained("semantic")]
    run = run_of({CHAT: whole("Paris")}, {EXPLAIN: waited, CHAT: whole("Paris", "semantic")})
    found = answers.semantic(run)
    assert (found.state, found.figures["indexed_s"]) == ("passed", 3.0)
    paths = [question.path for question in run.faces["completion"].asked]
    assert paths == ["/v1/cache/explain"] * 4 + ["/v1/chat/completions"]


def test_a_search_that_misses_its_time_once_is_asked_again():
    replies = [refusal(504), whole("Paris", "semantic")]
    run = run_of({CHAT: whole("Paris")}, {EXPLAIN: explained("semantic"), CHAT: replies})
    assert answers.semantic(run).state == "passed"
    run = run_of({CHAT: whole("Paris")}, {EXPLAIN: explained("semantic"), CHAT: refusal(504)})
    assert answers.semantic(run).state == "failed"
    # Each of these is an error to the alarms.
    assert len([one for one in run.faces["completion"].asked if one.path == CHAT[1]]) == 3


def test_a_semantic_hit_that_never_comes_says_why_in_the_gateways_words():
    run = run_of({CHAT: whole("Paris")}, {EXPLAIN: explained("upstream", "nothing is similar enough")})
    found = answers.semantic(run)
    assert found.state == "failed"
    assert "after 60 s: nothing is similar enough" in found.said
    assert "UnindexedQueue" in found.todo


@pytest.mark.parametrize("policy", ["off", "shadow"])
def test_where_nothing_similar_is_served_the_check_is_not_run(policy):
    run = run_of(SemanticCache=policy)
    assert (answers.semantic(run).state, run.asked) == ("not run", [])


def lost(then=None, account=None):
    streaming = {CHAT: whole("Rome"), EXPLAIN: explained("exact", key="2a71")}
    return run_of(streaming, {CHAT: then}, account=account)


def test_an_answer_whose_object_is_gone_is_a_miss():
    run = lost(reply({"subsecond": {"source": "upstream", "counts": {}}}))
    assert stores.missing_object(run).state == "passed"
    assert ("point_at_nothing", PARTITION, "2a71") in run.account.asked


@pytest.mark.parametrize(
    ("said", "body", "status"),
    [
        ("403, not 404", {"subsecond": {"source": "upstream", "counts": {"exact_failed": 1}}}, 200),
        ("answered from exact", {"subsecond": {"source": "exact", "counts": {}}}, 200),
        ("fails with 500", {"error": {"message": "oh"}}, 500),
    ],
)
def test_a_bucket_that_says_403_or_a_request_that_fails_is_seen(said, body, status):
    found = stores.missing_object(lost(reply(body, status)))
    assert (found.state, said in found.said) == ("failed", True)


def test_a_look_up_that_ran_out_of_time_once_is_not_taken_for_a_403():
    late = reply({"subsecond": {"source": "upstream", "counts": {"exact_failed": 1}}})
    run = lost([late, reply({"subsecond": {"source": "upstream", "counts": {}}})])
    assert stores.missing_object(run).state == "passed"


def test_what_was_not_stored_cannot_be_lost():
    found = stores.missing_object(lost(account=MemoryAccount(stored=False)))
    assert (found.state, "not stored" in found.said) == ("failed", True)
