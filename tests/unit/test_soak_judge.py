"""The judge of the mixed soak sees what it is there for."""

import json
from dataclasses import replace

import pytest

from subsecond_local.simulator.dialects import DIALECTS
from subsecond_local.simulator.engine import Simulation
from tests.soak.mixed.figures import Memory
from tests.soak.mixed.judge import Judge, number_of
from tests.soak.mixed.questions import Question, family
from tests.soak.mixed.wire import BROKE_OFF, Answer

ASKED = Question("What is asked?", tag="t")


def whole(text, number, cache_status="subsecond; fwd=miss"):
    told = {"id": f"chatcmpl-{'0' * 16}{number:08d}", "choices": [{"message": {"content": text}}]}
    return Answer(200, {"cache-status": cache_status}, [json.dumps(told).encode()], whole=True)


def stream(*texts, number=1, done=True):
    frames = [{"id": f"chatcmpl-{'0' * 16}{number:08d}", "choices": [{"delta": {"content": text}}]} for text in texts]
    events = [f"data: {json.dumps(frame)}\n\n".encode() for frame in frames]
    end = [b"data: [DONE]\n\n"] if done else [b'data: {"error": {"message": "It broke."}}\n\n']
    return Answer(200, {"content-type": "text/event-stream"}, [*events, *end], whole=True)


def checked(*answers, judge=None, question=ASKED):
    """What the judge says of answers to acme, then zenith, and so on."""
    judge = judge or Judge()
    for tenant, answer in zip(("acme", "zenith", "acme"), answers, strict=False):
        judge.check(tenant, question, answer, judge.floor(tenant, question))
    return judge.wrong


def test_right_answers_pass_whole_streamed_and_broken_off():
    right = ASKED.right()
    assert checked(whole(right, 1)) == []
    assert checked(stream(right[:5], right[5:])) == []
    assert checked(stream(right[:5], done=False)) == []
    left = stream(right[:5], right[5:])
    left.parts, left.whole = [left.body[:200]], False
    assert checked(left) == []


@pytest.mark.parametrize(
    "answer",
    [
        whole("Something else.", 1),
        stream("Something else."),
        stream(ASKED.right()[:5]),
        stream("Something", done=False),
        whole(Question("Another?").right(), 1, "subsecond; hit; detail=exact"),
        Answer(200, {}, [b'{"choices": []}'], whole=True),
        Answer(503, {}, [b"<html>"], whole=True),
    ],
)
def test_another_text_is_wrong(answer):
    assert len(checked(answer)) == 1


def test_an_answer_of_the_other_tenants_call_is_wrong():
    assert checked(whole(ASKED.right(), 1), whole(ASKED.right(), 2), whole(ASKED.right(), 1)) == []
    assert len(checked(whole(ASKED.right(), 1), whole(ASKED.right(), 1))) == 1


def test_a_deleted_answer_is_wrong_from_the_next_question_on():
    judge = Judge()
    before = judge.floor("acme", ASKED)
    judge.deleted("acme", "t", 5, judge.now())
    judge.deleted("zenith", "", 9, judge.now())
    judge.check("acme", ASKED, whole(ASKED.right(), 4), before)
    assert judge.wrong == []
    assert checked(whole(ASKED.right(), 6), judge=judge) == []
    assert len(checked(whole(ASKED.right(), 4), judge=judge)) == 1


def test_another_phrasing_answers_a_question_of_its_family_alone():
    one, other = family(3, 0), family(3, 1)
    assert checked(whole(other.right(), 1, "subsecond; hit; detail=semantic"), question=one) == []
    assert len(checked(whole(other.right(), 1), question=one)) == 1
    assert len(checked(whole(family(4, 0).right(), 1, "subsecond; hit; detail=semantic"), question=one)) == 1


def simulated(question, *, stream):
    """The upstream's own answer, as a client hears it."""
    spoken = question.spoken
    answer = Simulation().answer(spoken.endpoint, json.loads(question.body(stream=stream)))
    dialect = DIALECTS[spoken.endpoint]
    if not stream:
        return Answer(200, {}, [json.dumps(dialect.whole(answer)).encode()], whole=True)
    payloads = [payload for step in dialect.steps(answer, usage=False) for payload in step]
    events = [b"event: %b\ndata: %b\n\n" % (one.name, one.data) if one.name else one.data for one in payloads]
    return Answer(200, {"content-type": "text/event-stream"}, [*events, dialect.last], whole=True)


@pytest.mark.parametrize("dialect", ["responses", "objects", "messages"])
@pytest.mark.parametrize("form", [False, True])
def test_other_dialects_are_judged_as_chat_is(dialect, form):
    asked = Question("What is asked?", dialect=dialect)
    right = simulated(asked, stream=form)
    assert (right.end, number_of(asked, right)) == ("200", 1)
    assert checked(right, question=asked) == []
    assert len(checked(right, right, question=asked)) == 1  # one call serves two tenants
    assert len(checked(simulated(replace(asked, text="Another?"), stream=form), question=asked)) == 1


@pytest.mark.parametrize("dialect", ["responses", "messages"])
def test_a_stream_that_breaks_off_is_right_as_far_as_it_goes(dialect):
    asked = Question("What is asked?", dialect=dialect)
    left = simulated(asked, stream=True)
    left.parts = left.parts[:6]
    assert left.end == BROKE_OFF
    assert checked(left, question=asked) == []
    left.parts = [left.body.replace(asked.right().split()[0].encode(), b"Else")]
    assert len(checked(left, question=asked)) == 1


def test_an_answer_that_names_no_call_is_wrong():
    told = {"id": "chatcmpl-made", "choices": [{"message": {"content": ASKED.right()}}]}
    nameless = Answer(200, {}, [json.dumps(told).encode()], whole=True)
    broken = stream(ASKED.right()[:5], done=False)
    assert len(checked(nameless)) == 1
    assert checked(broken) == []


def test_a_reported_answer_is_wrong_from_the_next_question_on_until_that_is_taken_back():
    judge, one, other = Judge(), family(3, 0), family(3, 1)
    near = whole(other.right(), 4, "subsecond; hit; detail=semantic")
    before = judge.floor("acme", one)
    judge.reported("acme", one, 4)
    judge.check("acme", one, near, before)
    assert checked(near, judge=judge, question=other) == []  # of another question nothing was said
    assert len(checked(near, judge=judge, question=one)) == 1
    judge.taken_back("acme", one, 4)
    assert len(checked(near, judge=judge, question=one)) == 1  # no more than there was


@pytest.mark.parametrize("tenant", ["acme", "zenith"])
def test_what_is_answered_from_memory_was_asked_for_since_all_was_deleted(tenant):
    judge, hit = Judge(), Answer(200, {"cache-status": "subsecond; hit; detail=exact"}, [b"{}"], whole=True)

    def wrong():
        floor, before = judge.floor(tenant, ASKED), len(judge.wrong)
        judge.asks(tenant, ["a"])
        judge.check_known(tenant, "a", floor, hit)
        judge.heard(tenant, ["a"])
        return len(judge.wrong) - before

    judge.asks("acme", ["a"])
    assert wrong() == (tenant == "zenith")  # acme's own is still being asked for
    judge.heard("acme", ["a"])
    assert wrong() == 0
    judge.deleted(tenant, "t", 0, judge.now())
    assert wrong() == 0
    judge.deleted(tenant, "", 0, judge.now())
    assert (wrong(), wrong()) == (1, 0)


def test_memory_that_grows_shows_in_the_last_two_thirds():
    flat = [(float(at), 100 + (at < 30) * at) for at in range(90)]
    assert Memory(flat).growth() == pytest.approx(0)
    assert Memory([(float(at), 10 * at) for at in range(91)]).growth() == pytest.approx(600)
