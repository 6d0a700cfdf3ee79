"""A fast answer that will do, or the strong one: never both, and neither waits for the other in vain."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subsecond.config import Settings
from subsecond.dialects.lookup import recorded
from subsecond.errors import SubsecondError, UpstreamError, UpstreamUnreachable
from subsecond.routing.attempts import Attempts
from subsecond.routing.speculation import Speculation, checks, speculate, yes_or_no
from subsecond.routing.verifying import flaw, is_valid
from subsecond.stats.trace import Trace
from tests.support import virtual
from tests.support.virtual import Server, call, candidate, collected
from tests.support.virtual_time import run

DOWN = UpstreamUnreachable("The upstream could not be reached.")
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
SORRY = ("I'm sorry, ", "but I can't help with that.")


def ask(fast, strong, *, stagger=0.0, grace=0.5, verifier=checks, **fields):
    trace = Trace()

    async def main():
        terms, asked = virtual.terms(), call(**fields)
        askings = [
            Attempts([candidate(name, server)], asked, trace, terms, kind=name)
            for name, server in (("fast", fast), ("strong", strong))
        ]
        made = Speculation(stagger, grace, verifier(terms) if verifier is judged else verifier)
        try:
            return await collected(speculate(*askings, trace, made))
        except SubsecondError as error:
            return error
        finally:
            assert terms.admission.running == 0

    found = run(main())
    assert (fast.begun, strong.begun) == (fast.closed, strong.closed)
    return found, trace


def test_seed_58_both_run_side_by_side():
    """The seed's executor took the sum: fast, then the verifier, then the strong one."""

    async def slow(asked, answer):
        await virtual.asyncio.sleep(0.01)
        return await checks(asked, answer)

    (head, text, first, _), trace = ask(Server(0.1, SORRY), Server(0.15), verifier=slow)
    assert (head.model, text) == ("strong", "ab")
    assert first == pytest.approx(0.15)
    assert trace.speculation == {"accepted": False, "refused": "refusal", "strong_asked": True, "wasted_tokens": 0}


def test_both_models_calls_count_as_spent_whichever_of_them_is_heard():
    _, refused = ask(Server(0.1, SORRY), Server(0.15))
    _, accepted = ask(Server(0.1, gap=0.1), Server(5.0))
    _, late = ask(Server(0.1, "a" * 100, gap=1.0), Server(0.2))
    lost = [{one.kind: one.lost is not None for one in trace.attempts} for trace in (refused, accepted, late)]
    assert lost == [{"fast": True, "strong": False}, {"fast": False, "strong": True}, {"fast": True, "strong": False}]


@pytest.mark.parametrize("form", ["stream", "whole"])
def test_both_are_asked_in_the_clients_form_and_told_in_it(form):
    for said, heard in (("ab", "fast"), (SORRY, "strong")):
        fast, strong = Server(0.1, said, usage=USAGE), Server(0.2)
        (head, text, first, _), trace = ask(fast, strong, form=form)
        assert (head.model, head.headers, text) == (heard, virtual.HEADERS, "ab")
        assert first == pytest.approx(0.1 if heard == "fast" else 0.2)
        assert {one.form for server in (fast, strong) for one in server.calls} == {form}
        assert trace.usage == (USAGE if heard == "fast" else None)


def test_a_fast_answer_that_will_do_is_given_and_the_strong_call_closed():
    strong = Server(5.0)
    (head, text, first, _), trace = ask(Server(0.1, gap=0.1), strong)
    assert (head.model, text, round(first, 6)) == ("fast", "ab", 0.2)
    assert (strong.begun, strong.complete) == (1, 0)
    assert trace.speculation["accepted"]
    assert (trace.model, trace.source) == ("fast", "upstream")
    assert trace.counts["speculation_strong_closed"] == 1


def test_staggered_the_strong_call_is_saved():
    strong = Server(5.0)
    (head, *_), trace = ask(Server(0.1), strong, stagger=0.3)
    assert (head.model, strong.begun) == ("fast", 0)
    assert trace.speculation["strong_asked"] is False
    assert trace.counts["speculations_accepted"] == 1


def test_a_refusal_starts_the_strong_call_at_once_and_not_after_the_stagger():
    (head, _, first, _), _ = ask(Server(0.1, SORRY), Server(0.2), stagger=5.0)
    assert (head.model, round(first, 6)) == ("strong", 0.3)


def test_seed_58_without_a_verifier_the_fast_answer_is_still_looked_at():
    (head, *_), _ = ask(Server(0.1, ("",)), Server(0.2))
    assert head.model == "strong"


def test_seed_58_a_failing_fast_model_is_no_failure():
    (head, _, first, _), trace = ask(Server(lambda _: (0.1, DOWN)), Server(0.2))
    assert (head.model, round(first, 6)) == ("strong", 0.2)
    assert trace.speculation["refused"] == "failed: UpstreamUnreachable"


def test_seed_58_the_calls_fields_reach_both_models():
    fast, strong = Server(0.1, SORRY), Server(0.2)
    ask(fast, strong, temperature=0.3, max_tokens=7)
    for server in (fast, strong):
        assert (server.calls[0].body["temperature"], server.calls[0].body["max_tokens"]) == (0.3, 7)


def test_seed_58_the_loser_is_closed_when_the_strong_one_wins():
    fast = Server(0.1, "a" * 100, gap=1.0)
    (head, _, first, _), trace = ask(fast, Server(0.2), grace=0.5)
    assert (head.model, round(first, 6)) == ("strong", 0.7)
    assert (fast.begun, fast.closed, fast.complete) == (1, 1, 0)
    assert trace.speculation["refused"] == "too late"


def test_a_fast_answer_within_the_grace_is_taken():
    (head, _, first, _), _ = ask(Server(0.1, gap=0.4), Server(0.2), grace=0.5)
    assert (head.model, round(first, 6)) == ("fast", 0.5)


def test_a_fast_answer_that_ends_with_the_grace_is_too_late():
    (head, *_), trace = ask(Server(2.0, gap=1.0), Server(1.0), grace=2.0)
    assert trace.speculation["accepted"] == (head.model == "fast")


def test_when_the_strong_model_fails_the_fast_one_is_waited_for():
    (head, *_), _ = ask(Server(0.1, gap=3.0), Server(lambda _: (0.2, DOWN)))
    assert head.model == "fast"
    found, _ = ask(Server(0.1, SORRY, gap=3.0), Server(lambda _: (0.2, DOWN)))
    assert found is DOWN


def test_an_answer_that_breaks_off_is_refused():
    (head, *_), trace = ask(Server(0.1, broken=(1, DOWN)), Server(0.2))
    assert head.model == "strong"
    assert trace.speculation["refused"] == "failed: UpstreamUnreachable"


@pytest.mark.parametrize("form", ["stream", "whole"])
def test_what_a_refused_answer_cost_is_said(form):
    _, trace = ask(Server(0.1, SORRY, usage=USAGE), Server(0.2), form=form)
    assert trace.speculation["wasted_tokens"] == trace.counts["speculation_tokens"] == 5
    assert trace.usage is None
    assert trace.attempts[0].lost == 2


def test_who_leaves_closes_both():
    servers = Server(5.0), Server(5.0)

    async def main():
        terms, trace = virtual.terms(), Trace()
        askings = [Attempts([candidate("m", server)], call(), trace, terms) for server in servers]
        with pytest.raises(TimeoutError):
            async with virtual.asyncio.timeout(1.0):
                await collected(speculate(*askings, trace, Speculation(0.0, 0.5)))

    run(main())
    assert [server.closed for server in servers] == [1, 1]


def judged(terms):
    judge = Server(0.05, ("No", "."))
    return yes_or_no(lambda asked: Attempts([candidate("judge", judge)], asked, Trace(), terms), "judge")


def test_a_judge_may_be_asked():
    (head, *_), trace = ask(Server(0.1, ("wrong",)), Server(0.3), verifier=judged)
    assert head.model == "strong"
    assert trace.speculation["refused"] == "the judge says no"


def answer(text="fine", finish="stop", **message):
    choice = {"index": 0, "finish_reason": finish, "logprobs": message.pop("logprobs", None)}
    body = {"choices": [{**choice, "message": {"role": "assistant", "content": text, **message}}]}
    return recorded("chat", "whole", [json.dumps(body).encode()])


def hesitant(share, n=20):
    close, clear = (-0.7, -0.8), (-0.01, -5.0)
    rows = [close if at < share * n else clear for at in range(n)]
    return {"content": [{"top_logprobs": [{"logprob": one} for one in row]} for row in rows]}


@pytest.mark.parametrize(
    ("given_answer", "found"),
    [
        (answer(), None),
        (answer(""), "empty"),
        (answer("  \n"), "empty"),
        (answer(finish="length"), "finished: length"),
        (answer(finish="content_filter"), "finished: content_filter"),
        (answer("I\u2019m sorry, but I cannot do that."), "refusal"),
        (answer("As an AI language model, I think"), "refusal"),
        (answer("", refusal="No."), "refusal"),
        (answer("The word sorry means to regret."), None),
        (answer("You can't divide by zero."), None),
        (answer(None, "tool_calls", tool_calls=[{"id": "c"}]), None),
        (answer(logprobs=hesitant(0.1)), None),
        (answer(logprobs=hesitant(0.5)), "unsure"),
        (answer(logprobs={"content": [{"logprob": -3}]}), None),
        (answer([{"type": "text", "text": "fine"}]), None),
        (recorded("chat", "whole", [b"{}"]), "finished: unknown"),
    ],
)
def test_what_is_wrong_with_an_answer_is_named(given_answer, found):
    assert flaw(call(), given_answer) == found


def streamed(*deltas, finish="stop", **more):
    payloads = [virtual.chunk(delta) for delta in deltas] + [virtual.chunk({}, finish)]
    return recorded("chat", "stream", [json.dumps({**json.loads(one), **more}).encode() for one in payloads])


@pytest.mark.parametrize("more", [{}, {"timings": {"predicted_ms": 3}}], ids=["converts", "does not convert"])
@pytest.mark.parametrize(
    ("deltas", "finish", "found"),
    [
        (["fine"], "stop", None),
        (["fine"], "length", "finished: length"),
        ([""], "stop", "empty"),
        (SORRY, "stop", "refusal"),
    ],
)
def test_what_is_wrong_with_a_stream_is_found_too(deltas, finish, found, more):
    given_answer = streamed(*({"content": text} for text in deltas), finish=finish, **more)
    assert flaw(call(), given_answer) == found
    assert flaw(call(response_format={"type": "json_object"}), given_answer) == (found or "no JSON")


SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "kind": {"enum": ["a", "b"]},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"n": 1}', None),
        ('{"n": 1, "next": {"n": 2, "next": null}}', None),
        ('{"n": 1, "next": {"n": "2"}}', "schema"),
        ('{"n": 1.5}', "schema"),
        ('{"n": true}', "schema"),
        ('{"kind": "a"}', "schema"),
        ('{"n": 1, "kind": "c"}', "schema"),
        ('{"n": 1, "more": 1}', "schema"),
        ("[1]", "schema"),
        ("not JSON", "no JSON"),
    ],
)
def test_an_answer_must_fit_the_schema_that_was_asked_for(text, found):
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}
    assert flaw(call(response_format=wanted), answer(text)) == found


def test_an_object_is_an_object_and_text_is_anything():
    wanted = {"type": "json_object"}
    assert flaw(call(response_format=wanted), answer("[1]")) == "no JSON object"
    assert flaw(call(response_format=wanted), answer("{}")) is None
    assert flaw(call(response_format={"type": "text"}), answer("{")) is None


def test_lists_constants_and_references_are_checked():
    root = {"$defs": {"word": {"type": "string"}}}
    words = {"type": "array", "items": {"$ref": "#/$defs/word"}, "minItems": 1, "maxItems": 2}
    assert is_valid(["a"], words, root)
    assert not is_valid([], words, root)
    assert not is_valid(["a", 1], words, root)
    assert not is_valid(["a"] * 3, words, root)
    assert not is_valid(1, {"const": True}, {})
    assert is_valid(1.0, {"type": ["null", "integer"]}, {})
    endless = {"$ref": "#"}
    assert not is_valid(1, endless, endless)
    branching = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert not is_valid(1, branching, branching)


@pytest.mark.parametrize("schema", [{"enum": 5}, {"anyOf": 3}, {"properties": [1], "type": "object"}, {"required": 1}])
def test_what_cannot_be_read_is_refused_and_no_failure(schema):
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}}
    assert flaw(call(response_format=wanted), answer('{"a": 1}')) in ("unreadable", "schema")
    strange = {"content": [{"top_logprobs": [{}, {}]}]}
    assert flaw(call(), answer(logprobs=strange)) == "unreadable"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values, json_values)
def test_no_schema_is_too_strange(value, schema):
    wanted = {"type": "json_schema", "json_schema": {"schema": {"anyOf": [True, schema], "properties": {"y": schema}}}}
    assert flaw(call(response_format=wanted), answer(json.dumps({"y": value}))) in (None, "schema", "refusal")


waits = st.floats(0.01, 10.0) | st.tuples(
    st.floats(0.0, 3.0), st.just(DOWN) | st.just(UpstreamError("bad", status=400))
)
words = st.sampled_from([("fine", "!"), SORRY, ()])


@settings(max_examples=150, deadline=None)
@given(waits, waits, words, st.floats(0.0, 3.0), st.floats(0.0, 3.0), st.floats(0.0, 2.0))
def test_whatever_happens_one_answer_and_both_closed(fast, strong, said, stagger, grace, gap):
    servers = Server(lambda _: fast, said, gap=gap), Server(lambda _: strong, ("s", "t"), gap=gap)
    found, trace = ask(*servers, stagger=stagger, grace=grace)
    if isinstance(found, SubsecondError):
        assert isinstance(strong, tuple)
    else:
        head, text, _, _ = found
        assert text == {"fast": "".join(said), "strong": "st"}[head.model]
        assert trace.speculation["accepted"] == (head.model == "fast")
        assert head.model == "strong" or said == ("fine", "!")


def test_it_is_off_unless_switched_on():
    assert Settings().speculate is False
    assert Speculation.of(Settings(), ()).stagger == 0.25
