"""A second call for a late first token: rarely, and the loser is closed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.config import Settings
from subsecond.errors import UpstreamError, UpstreamUnreachable
from subsecond.routing.attempts import answer
from subsecond.routing.hedging import Budget, Hedges, may_double
from subsecond.routing.histories import Prior
from subsecond.stats.increments import increments
from subsecond.stats.trace import Trace
from tests.benchmarks import tails
from tests.support import virtual
from tests.support.virtual import Server, call, candidate, collected
from tests.support.virtual_time import run

DOWN = UpstreamUnreachable("The upstream could not be reached.")
# With this prior and no calls yet, a first token is late after 0.25 s.
PRIORS = {"m0": Prior(0.1), "m1": Prior(0.1)}


def ask(*servers, groups=("g", "g"), budget=None, allowed=False, rest=None, **fields):
    trace = Trace()

    async def main():
        known = virtual.health(priors=PRIORS)
        if rest:
            for _ in range(3):
                known.begin(rest).failed()
        terms = virtual.terms(Hedges(budget or Budget(1.0, 5.0), 0.97, tools=allowed), known=known)
        candidates = [candidate(f"m{at}", server, groups[at]) for at, server in enumerate(servers)]
        try:
            return await collected(answer(candidates, call(**fields), trace, terms))
        finally:
            assert terms.admission.running == 0

    return run(main()), trace


def outcomes(trace):
    return [(attempt.model, attempt.kind, attempt.outcome) for attempt in trace.attempts]


def test_a_first_token_in_time_has_no_second_call():
    servers = Server(0.2), Server(0.2)
    (head, *_), trace = ask(*servers)
    assert (head.model, servers[1].begun, trace.counts["hedges"]) == ("m0", 0, 0)


def test_seed_58_the_second_call_starts_beside_a_late_one_and_the_loser_is_closed():
    servers = Server(5.0), Server(0.1)
    (head, text, first, _), trace = ask(*servers)
    assert (head.model, text) == ("m1", "ab")
    assert first == pytest.approx(0.25 + 0.1, rel=0.1)
    assert (servers[0].begun, servers[0].closed, servers[0].complete) == (1, 1, 0)
    assert outcomes(trace) == [("m0", "first", "cancelled"), ("m1", "hedge", "answered")]
    assert (trace.counts["hedges"], trace.counts["hedges_won"]) == (1, 1)
    assert trace.model == "m1"


@pytest.mark.parametrize("servers", [(5.0, 0.1), (0.4, 5.0)])
def test_what_the_loser_has_cost_is_estimated_and_counted_as_spent(servers):
    _, trace = ask(*map(Server, servers))
    (loser,) = (attempt for attempt in trace.attempts if attempt.outcome == "cancelled")
    found = increments(replace(trace, usage={"prompt_tokens": 70, "completion_tokens": 9}), str, 0.0)
    spent = {(rollup.partition("|")[2], name): n for rollup, name, n in found if "tokens" in name}
    assert spent[loser.model, "n|tokens|upstream|prompt"] == 70
    assert spent[trace.model, "n|tokens|upstream|prompt"] == 70
    assert spent["", "n|counts|tokens_estimated"] == 70


def test_without_any_usage_the_losers_prompt_is_counted_by_ourselves():
    _, trace = ask(Server(5.0), Server(0.1))
    found = increments(replace(trace, usage=None), str, 0.0)
    (prompt,) = (n for rollup, name, n in found if name == "n|tokens|upstream|prompt" and rollup.endswith("m0"))
    assert prompt > 0


# With the priors above and no calls yet, a whole reply is late after 0.25 s and 256 tokens at 50 a second.
LATE = 0.25 + 256 / 50


def test_a_whole_reply_is_late_by_other_whole_replies():
    servers = Server(4.0), Server(0.1)
    ask(*servers, form="whole")
    assert servers[1].begun == 0
    servers = Server(60.0), Server(0.1)
    (head, text, first, _), trace = ask(*servers, form="whole")
    assert (head.model, text) == ("m1", "ab")
    assert first == pytest.approx(LATE + 0.1, rel=0.1)
    assert (servers[0].closed, servers[0].complete) == (1, 0)
    assert outcomes(trace) == [("m0", "first", "cancelled"), ("m1", "hedge", "answered")]


@pytest.mark.parametrize(("most", "lost"), [({}, 265), ({"max_tokens": 40}, 40)])
def test_a_whole_reply_that_is_given_up_had_words_in_it_already(most, lost):
    _, trace = ask(Server(60.0), Server(0.1), form="whole", **most)
    assert trace.attempts[0].lost == pytest.approx(lost, rel=0.1)


@pytest.mark.parametrize("form", ["stream", "whole"])
def test_an_empty_answer_is_no_winner(form):
    reply = virtual.whole([]) if form == "whole" else virtual.chunk({}, "stop")
    wait = LATE if form == "whole" else 0.25
    servers = Server(wait + 0.4), Server(0.1, payloads=(reply,))
    (head, text, *_), trace = ask(*servers, form=form)
    assert (head.model, text) == ("m0", "ab")
    assert outcomes(trace)[1] == ("m1", "hedge", "502 UpstreamError")


def test_the_first_call_may_still_win():
    servers = Server(0.4), Server(5.0)
    (head, _, first, _), trace = ask(*servers)
    assert (head.model, round(first, 6)) == ("m0", 0.4)
    assert (servers[1].begun, servers[1].closed) == (1, 1)
    assert outcomes(trace) == [("m0", "first", "answered"), ("m1", "hedge", "cancelled")]
    assert (trace.counts["hedges"], trace.counts["hedges_won"]) == (1, 0)


def test_of_two_that_speak_at_once_the_first_is_heard_and_the_other_closed():
    async def main():
        terms = virtual.terms(Hedges(Budget(1.0, 5.0), 0.97, tools=False), known=virtual.health(priors=PRIORS))
        delay = terms.health.late("m0", 0.97)
        servers = Server(delay + 0.1), Server(0.1)
        trace = Trace()
        candidates = [candidate(f"m{at}", server, "g") for at, server in enumerate(servers)]
        await collected(answer(candidates, call(), trace, terms))
        return servers, trace

    servers, trace = run(main())
    assert [server.closed for server in servers] == [1, 1]
    assert sum(attempt.outcome == "answered" for attempt in trace.attempts) == 1


@pytest.mark.parametrize("fields", [{"tools": [{"type": "function"}]}, {"functions": [{"name": "f"}]}])
def test_a_request_with_tools_is_hedged_only_where_that_is_allowed(fields):
    servers = Server(5.0), Server(0.1)
    ask(*servers, **fields)
    assert servers[1].begun == 0
    ask(*servers, allowed=True, **fields)
    assert servers[1].begun == 1


def test_only_an_equivalent_deployment_is_asked():
    for groups in (("g", "h"), ("", "")):
        servers = Server(5.0), Server(0.1)
        (head, *_), _ = ask(*servers, groups=groups)
        assert (head.model, servers[1].begun) == ("m0", 0)


def test_a_deployment_at_rest_is_not_asked():
    servers = Server(5.0), Server(0.1)
    ask(*servers, rest="m1")
    assert servers[1].begun == 0


def test_without_a_budget_the_first_call_goes_on_alone_and_that_is_counted():
    servers = Server(5.0), Server(0.1)
    (head, *_), trace = ask(*servers, budget=Budget(0.03, 0.0))
    assert (head.model, servers[1].begun) == ("m0", 0)
    assert trace.counts["hedges_unaffordable"] == 1


def test_when_one_fails_the_other_decides():
    late = Server(lambda _: (0.5, DOWN))
    (head, _, first, _), _ = ask(late, Server(1.0))
    assert head.model == "m1"
    assert first == pytest.approx(1.25, rel=0.1)
    (head, *_), trace = ask(Server(1.0), Server(lambda _: (0.1, DOWN)))
    assert head.model == "m0"
    assert outcomes(trace)[1] == ("m1", "hedge", "502 UpstreamUnreachable")


def test_an_error_of_the_request_ends_both():
    refused = UpstreamError("bad", status=400)
    servers = Server(5.0), Server(lambda _: (0.1, refused))
    with pytest.raises(UpstreamError) as error:
        ask(*servers)
    assert error.value is refused
    assert [server.closed for server in servers] == [1, 1]


def test_who_leaves_closes_both():
    servers = Server(5.0), Server(5.0)

    async def main():
        terms = virtual.terms(Hedges(Budget(1.0, 5.0), 0.97, tools=False), known=virtual.health(priors=PRIORS))
        candidates = [candidate(f"m{at}", server, "g") for at, server in enumerate(servers)]
        with pytest.raises(TimeoutError):
            async with virtual.asyncio.timeout(1.0):
                await collected(answer(candidates, call(), Trace(), terms))
        return terms.admission.running

    assert run(main()) == 0
    assert [server.begun for server in servers] == [server.closed for server in servers] == [1, 1]


def test_the_settings_make_the_rules_and_a_share_of_nothing_is_never():
    hedges = Hedges.of(Settings())
    assert (hedges.after, hedges.budget.take()) == (0.97, True)
    never = Hedges.of(Settings(hedge_share=0.0))
    never.budget.earn()
    assert not never.budget.take()
    assert may_double(call(), tools=False)


@given(st.floats(0.0, 0.5), st.integers(0, 20), st.lists(st.integers(0, 3), max_size=400))
def test_never_more_second_calls_than_the_share_or_the_allowance(share, allowance, wanted):
    budget = Budget(share, float(allowance))
    taken = 0
    for requests, n in enumerate(wanted, 1):
        budget.earn()
        taken += sum(budget.take() for _ in range(n))
        assert taken <= max(allowance, share * requests) + 0.01


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000), st.floats(0.0, 0.5), st.sampled_from([0.0, 0.01, 0.03]))
def test_whatever_the_waits_the_budget_is_kept(seed, stalled, share):
    found = tails.tail(150, hedged=True, share=share, stalled=stalled, seed=seed)
    assert found["extra"] * 150 <= max(10, share * 150) + 0.01


def test_the_tail_is_four_times_shorter_for_three_calls_in_a_hundred():
    """2 % stalls of 5 s. The whole 20,000 requests: tests/benchmarks/tails.py."""
    plain, hedged = tails.tail(2_500, hedged=False), tails.tail(2_500, hedged=True)
    assert plain["p99"] >= 4 * hedged["p99"]
    assert hedged["extra"] <= 0.03
    assert hedged["p50"] == pytest.approx(plain["p50"], rel=0.02)
