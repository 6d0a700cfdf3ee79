"""The judge of the mixed soak sees what it is there for."""

import json

import pytest

from tests.soak.mixed.figures import Memory
from tests.soak.mixed.judge import Judge
from tests.soak.mixed.questions import Question, family
from tests.soak.mixed.wire import Answer

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
    judge.deleted("acme", "t", 5)
    judge.deleted("zenith", "", 9)
    judge.check("acme", ASKED, whole(ASKED.right(), 4), before)
    assert judge.wrong == []
    assert checked(whole(ASKED.right(), 6), judge=judge) == []
    assert len(checked(whole(ASKED.right(), 4), judge=judge)) == 1


def test_another_phrasing_answers_a_question_of_its_family_alone():
    one, other = family(3, 0), family(3, 1)
    assert checked(whole(other.right(), 1, "subsecond; hit; detail=semantic"), question=one) == []
    assert len(checked(whole(other.right(), 1), question=one)) == 1
    assert len(checked(whole(family(4, 0).right(), 1, "subsecond; hit; detail=semantic"), question=one)) == 1


def test_memory_that_grows_shows_in_the_last_two_thirds():
    flat = [(float(at), 100 + (at < 30) * at) for at in range(90)]
    assert Memory(flat).growth() == pytest.approx(0)
    assert Memory([(float(at), 10 * at) for at in range(91)]).growth() == pytest.approx(600)
