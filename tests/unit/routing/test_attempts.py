"""The next candidate answers for one that fails, before the first byte and never after it."""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    InvalidRequest,
    SubsecondError,
    UpstreamBrokeOff,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from subsecond.routing.attempts import answer, as_served
from subsecond.routing.failures import worth_another
from subsecond.routing.hedging import Budget, Hedges
from subsecond.stats.trace import Trace
from subsecond.upstreams.admission import Limits
from tests.support import virtual
from tests.support.virtual import Server, ask, call, candidate, collected, outcomes
from tests.support.virtual_time import run

DOWN = UpstreamUnreachable("The upstream could not be reached.")


def test_the_first_that_answers_is_the_only_one_that_is_asked():
    servers = Server(0.2), Server(0.1)
    (head, text, first, _), trace = ask(*servers)
    assert (head.model, text, round(first, 6)) == ("m0", "ab", 0.2)
    assert servers[1].begun == 0
    assert outcomes(trace) == [("m0", "first", "answered")]
    assert (trace.source, trace.model) == ("upstream", "m0")
    assert servers[0].calls[0].model == "m0-served"


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        UpstreamTimeout("late"),
        UpstreamError("busy", status=429),
        UpstreamError("down", status=503),
        UpstreamError("broken", status=500),
        ContextLengthExceeded(9, 5, 8, "messages"),
    ],
    ids=lambda error: f"{error.status} {type(error).__name__}",
)
def test_another_model_is_worth_a_try_after(error):
    failing = Server(lambda _: (0.1, error))
    (head, text, first, _), trace = ask(failing, Server(0.2))
    assert (head.model, text, round(first, 6)) == ("m1", "ab", 0.3)
    assert outcomes(trace) == [
        ("m0", "first", f"{error.status} {type(error).__name__}"),
        ("m1", "fallback", "answered"),
    ]
    assert trace.counts["fallbacks"] == 1
    assert [round(attempt.seconds, 6) for attempt in trace.attempts] == [0.1, 0.2]


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("bad", status=400),
        UpstreamError("key", status=401),
        UpstreamError("none", status=404),
        UpstreamError("filtered", status=500, error={"code": "content_filter"}),
        UpstreamError("in the stream", error={"type": "invalid_request_error"}),
        InvalidRequest("ours"),
        DeadlineExceeded("late"),
    ],
    ids=lambda error: f"{error.status} {error.message}",
)
def test_no_other_model_is_asked_after(error):
    other = Server()
    found, trace = ask(Server(lambda _: (0.1, error)), other)
    assert found is error
    assert other.begun == 0
    assert len(trace.attempts) == 1
    assert not worth_another(error)


def test_when_all_fail_the_last_error_is_the_answer():
    last = UpstreamError("still down", status=503)
    found, trace = ask(Server(lambda _: (0.1, DOWN)), Server(lambda _: (0.1, last)))
    assert found is last
    assert trace.counts["fallbacks"] == 1


def test_a_model_that_says_nothing_is_given_up_when_another_is_left():
    servers = Server(60.0), Server(0.2)
    (head, _, first, _), trace = ask(*servers, made=lambda: virtual.terms(patience=5.0))
    assert (head.model, round(first, 6)) == ("m1", 5.2)
    assert servers[0].closed == 1
    assert outcomes(trace)[0] == ("m0", "first", "504 UpstreamTimeout")


def test_a_model_that_hangs_is_left_however_short_the_setting_is():
    """On a clock that goes on between two looks, as the real one does."""

    async def main():
        looks = count()
        terms = replace(virtual.terms(patience=0.05), ticks=lambda: virtual.now() + next(looks) * 1e-6)
        for _ in range(4):
            await collected(
                answer([candidate("m", Server(60.0)), candidate("n", Server(0.01))], call(), Trace(), terms)
            )
        await terms.health.flush(force=True)
        return terms.health.circuit_open("m"), terms.health.predict("m").error_rate, terms.health.circuit_open("n")

    circuit_open, errors, other = run(main())
    assert (circuit_open, other) == (True, False)
    assert errors > 0.5


def test_each_attempts_time_is_its_own():
    _, trace = ask(Server(60.0), Server(0.2, "abc", gap=0.5), made=lambda: virtual.terms(patience=2.0))
    assert [(round(one.seconds, 3), round(one.total, 3)) for one in trace.attempts] == [(2.0, 2.0), (0.2, 1.2)]


def test_what_breaks_off_has_a_time_too_and_what_was_closed_or_refused_has_none():
    _, broken = ask(Server(0.1, "abc", gap=0.5, broken=(2, DOWN)))
    assert broken.attempts[0].total == pytest.approx(0.6)
    _, refused = ask(Server(lambda _: (0.1, UpstreamError("bad", status=400))))
    assert refused.attempts[0].total is None
    hedges = lambda: virtual.terms(Hedges(Budget(1.0, 5.0), 0.5, tools=False))  # noqa: E731
    _, hedged = ask(Server(9.0), Server(0.1), group="g", made=hedges)
    assert [(one.kind, one.total is None) for one in hedged.attempts] == [("first", True), ("hedge", False)]


def test_the_last_one_is_waited_for():
    (head, _, first, _), _ = ask(Server(40.0), made=lambda: virtual.terms(patience=5.0))
    assert (head.model, round(first, 6)) == ("m0", 40.0)


@pytest.mark.parametrize("after", [0, 1])
def test_a_whole_reply_that_breaks_off_is_another_models_to_give(after):
    servers = Server(0.1, broken=(after, DOWN)), Server(0.1)
    (head, text, _, _), trace = ask(*servers, form="whole")
    assert (head.model, text) == ("m1", "ab")
    assert outcomes(trace)[0] == ("m0", "first", "502 UpstreamUnreachable")


def test_a_whole_reply_that_takes_long_is_waited_for():
    """Fifteen seconds for a first token; and at 50 tokens a second those of the longest answer."""
    servers = Server(0.5, "a" * 60, gap=1.0), Server(0.1)
    (head, *_), _ = ask(*servers, form="whole")
    assert (head.model, servers[1].begun) == ("m0", 0)


@pytest.mark.parametrize(("most", "seconds"), [({"max_tokens": 100}, 17.0), ({}, 15.0 + 4_096 / 50)])
def test_a_whole_call_that_hangs_is_left_when_no_answer_takes_so_long(most, seconds):
    servers = Server(1_000.0), Server(0.1)
    (head, _, first, _), trace = ask(*servers, form="whole", **most)
    assert head.model == "m1"
    assert first == pytest.approx(seconds + 0.1, rel=0.05)
    assert outcomes(trace)[0] == ("m0", "first", "504 UpstreamTimeout")


def test_an_answer_that_breaks_off_is_never_continued_by_another_model():
    servers = Server(0.1, broken=(1, DOWN)), Server(0.1)
    found, trace = ask(*servers)
    assert found is DOWN
    assert servers[1].begun == 0
    assert outcomes(trace) == [("m0", "first", "broke off: UpstreamUnreachable")]


def test_a_role_alone_promises_nothing():
    """Some upstreams say the role at once and fail then."""
    servers = Server(lambda _: (0.1, DOWN), role_first=True), Server(0.1, role_first=True)
    (head, text, _, _), _ = ask(*servers)
    assert (head.model, text) == ("m1", "ab")


def test_what_a_server_says_before_its_first_text_is_told_with_it():
    role = virtual.chunk({"role": "assistant", "content": ""})
    payloads = (virtual.COMMENT, role, virtual.COMMENT, virtual.chunk({"content": "a"}), virtual.chunk({}, "stop"))

    async def main():
        opened = await answer([candidate("m", Server(0.1, payloads=payloads))], call(), Trace(), virtual.terms())
        return [event async for event in opened.events("the route")]

    head, *told, _ = run(main())
    assert (head.route, head.headers) == ("the route", virtual.HEADERS)
    assert [chunk.comment for chunk in told] == [True, False, True, False, False]


def test_a_whole_reply_is_told_as_it_came():
    body = b'{ "choices": [{"index": 0, "message": {"content": "a\\u00e9"}, "finish_reason": "end"}]}\n'

    async def main():
        candidates = [candidate("m", Server(0.1, payloads=(body,))), candidate("n", Server())]
        opened = await answer(candidates, call(form="whole"), Trace(), virtual.terms())
        return [event async for event in opened.events()]

    head, chunk, done = run(main())
    assert (head.model, head.headers) == ("m", virtual.HEADERS)
    assert chunk.data == body
    assert done.recording.payloads == (body,)


def test_the_deadline_bounds_all_attempts_together():
    servers = [Server(60.0) for _ in range(3)]
    found, trace = ask(*servers, deadline=2.0)
    assert isinstance(found, DeadlineExceeded)
    assert found.status == 504
    assert found.after == pytest.approx(2.0, abs=0.01)
    assert all(server.begun == server.closed for server in servers)
    assert len(trace.attempts) > 1


def test_the_first_leaves_the_next_one_time_enough():
    (head, _, first, _), _ = ask(Server(60.0), Server(0.4), deadline=2.0)
    assert head.model == "m1"
    assert first < 2.0


def test_seed_56_no_time_at_all_asks_nobody():
    server = Server()
    found, _ = ask(server, deadline=0.0)
    assert isinstance(found, DeadlineExceeded)
    assert server.begun == 0


def test_a_timeout_that_a_short_deadline_made_puts_no_model_to_rest():
    known = None

    def terms():
        nonlocal known
        known = known or virtual.health()
        return virtual.terms(known=known)

    async def main():
        made = terms()
        for _ in range(10):
            events = answer(
                [candidate("m", Server(0.3)), candidate("n", Server(0.3))], call(virtual.now() + 0.1), Trace(), made
            )
            with pytest.raises(DeadlineExceeded):
                await collected(events)
        return made.health.circuit_open("m"), made.health.predict("m").error_rate

    assert run(main()) == (False, 0.0)


def test_a_model_at_rest_comes_last_but_is_not_left_out():
    async def main():
        terms = virtual.terms()
        for _ in range(3):
            terms.health.begin("m0").failed()
        servers = Server(0.1), Server(0.1), Server(lambda _: (0.1, DOWN))
        first = await collected(answer([candidate(f"m{at}", servers[at]) for at in (0, 1)], call(), Trace(), terms))
        alone = await collected(answer([candidate(f"m{at}", servers[at]) for at in (2, 0)], call(), Trace(), terms))
        return first[0].model, alone[0].model

    assert run(main()) == ("m1", "m0")


def test_another_model_is_asked_when_ours_has_no_place():
    async def main():
        terms = virtual.terms(limits=Limits(1, 10, 0, 1.0, batch=8))
        async with terms.admission.place("m0", "t"):
            found = await collected(
                answer([candidate("m0", Server()), candidate("m1", Server())], call(), Trace(), terms)
            )
            # It is full, not ill.
            return found[0].model, terms.health.circuit_open("m0"), terms.health.predict("m0").error_rate, terms

    model, circuit_open, errors, terms = run(main())
    assert (model, circuit_open, errors) == ("m1", False, 0.0)
    assert terms.admission.running == 0


def test_each_candidate_gets_a_call_made_for_it():
    async def sent(asked, one):
        if one.name == "m0":
            raise ContextLengthExceeded(9, 5, 8, "messages")
        return await as_served(asked, one)

    servers = Server(), Server()
    (head, *_), _ = ask(*servers, sent=sent)
    assert head.model == "m1"
    assert servers[0].begun == 0


def test_who_leaves_closes_the_call():
    server = Server(0.1, "abcdef", gap=1.0)

    async def main():
        terms, trace = virtual.terms(), Trace()
        events = (await answer([candidate("m", server)], call(), trace, terms)).events()
        assert (await anext(events)).model == "m"
        await events.aclose()
        return terms

    terms = run(main())
    assert (server.begun, server.closed, server.complete) == (1, 1, 0)
    assert terms.admission.running == 0


@pytest.mark.parametrize("form", ["stream", "whole"])
def test_usage_is_kept(form):
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    _, trace = ask(Server(usage=usage), form=form)
    assert trace.usage == usage


def plans():
    wait = st.floats(0.01, 20.0)
    failure = st.tuples(st.floats(0.0, 3.0), st.sampled_from([DOWN, UpstreamError("bad", status=400)]))
    broken = st.none() | st.tuples(st.integers(0, 2), st.just(DOWN))
    return st.tuples(wait | failure, broken)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(plans(), min_size=1, max_size=4),
    st.none() | st.floats(0.0, 5.0),
    st.booleans(),
    st.sampled_from(["stream", "whole"]),
)
def test_whatever_happens_one_answer_in_time_and_everything_closed(planned, deadline, hedged, form):
    names = "abcd"
    servers = [
        Server(lambda _, wait=wait: wait, names[at] * 3, broken=broken) for at, (wait, broken) in enumerate(planned)
    ]
    made = []

    def terms():
        hedges = Hedges(Budget(1.0, 5.0), 0.5, tools=False) if hedged else None
        made.append(virtual.terms(hedges, patience=4.0))
        return made[0]

    found, trace = ask(*servers, deadline=deadline, made=terms, group="g", form=form)
    assert all(server.begun == server.closed for server in servers)
    assert made[0].admission.running == 0
    assert len(trace.attempts) == sum(server.begun for server in servers)
    assert [attempt.outcome for attempt in trace.attempts].count("answered") <= 1
    if isinstance(found, SubsecondError):
        assert deadline is None or found.after <= deadline + 0.01
    else:
        head, text, first, _ = found
        assert text == names[int(head.model[1])] * 3
        assert deadline is None or first <= deadline + 0.01


BEGUN = b'{"type": "message_start", "message": {"type": "message", "content": []}}'
SAID = b'{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}'
STOPPED = b'{"type": "message_stop"}'


def heard(payloads, trace):
    """The head of the answer, where the first of two servers says these events and the other one a whole message."""
    servers = Server(payloads=payloads), Server(payloads=[BEGUN, SAID, STOPPED])
    candidates = [candidate(f"m{at}", server) for at, server in enumerate(servers)]

    async def main():
        opened = await answer(candidates, replace(call(), endpoint="messages"), trace, virtual.terms())
        head, *_ = [event async for event in opened.events()]
        return head

    return run(main())


@pytest.mark.parametrize("said", [[BEGUN], [BEGUN, b'{"type": "content_bl', SAID, STOPPED]])
def test_another_model_answers_for_a_typed_stream_that_broke_off_before_its_first_text(said):
    trace = Trace()
    assert heard(said, trace).model == "m1"
    assert outcomes(trace)[0] == ("m0", "first", "502 UpstreamBrokeOff")


@pytest.mark.parametrize("said", [[BEGUN, SAID], [BEGUN, SAID, b'{"type": "content_bl', STOPPED]])
def test_a_typed_stream_that_broke_off_behind_its_first_text_has_failed(said):
    trace = Trace()
    with pytest.raises(UpstreamBrokeOff):
        heard(said, trace)
    assert outcomes(trace) == [("m0", "first", "broke off: UpstreamBrokeOff")]
