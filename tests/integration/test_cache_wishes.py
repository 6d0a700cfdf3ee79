"""What a request may say of the cache in its `subsecond` object."""

import json
from dataclasses import replace

import pytest

from subsecond.api.bodies import ChatBody, check
from subsecond.api.wire import Asked, to_call
from subsecond.bootstrap import gateway
from subsecond.errors import InvalidRequest
from subsecond.stats.trace import Step, Trace
from subsecond.upstreams.request_body import request_body

ASKED, PARAPHRASE = "How do I reset my password?", "How can I reset the password?"


@pytest.fixture
def near(settings):
    return replace(settings, semantic="threshold", similarity=0.8)


def kind(seen):
    return seen.headers["cache-status"].removeprefix("subsecond; ").split("; ")


def answered(seen):
    words = kind(seen)
    return words[-1].removeprefix("detail=") if words[0] == "hit" else words[0]


def rag(question, passages):
    return f"Passages:\n{passages}\n\nQuestion: {question}"


async def test_similar_answers_can_be_refused_for_one_request(served, near):
    client = await served(near)
    await client.chat(ASKED)
    assert answered(await client.chat(PARAPHRASE, subsecond={"similar": False}, cache_control="no-store")) == "fwd=miss"
    assert answered(await client.chat(PARAPHRASE)) == "semantic"
    assert answered(await client.chat(ASKED, subsecond={"similar": False})) == "exact"


@pytest.mark.parametrize(("similarity", "source"), [(-1, "semantic"), (0.5, "semantic"), (0.99, "fwd=miss")])
async def test_the_similarity_of_a_request_can_only_be_stricter(served, near, similarity, source):
    client = await served(near)
    await client.chat(ASKED)
    wishes = {"similarity": similarity}
    assert answered(await client.chat(PARAPHRASE, subsecond=wishes, cache_control="no-store")) == source
    assert answered(await client.chat("How do I reset the router?", subsecond=wishes)) == "fwd=miss"


async def test_a_deadline_may_leave_no_time_for_similar_questions(served, near):
    """The model takes no time; looking takes a minute, as far as this environment knows."""
    made = gateway(near)
    made.models.semantic_budget.learn(Trace(steps={Step.SEMANTIC: 60.0}))
    client = await served(near, gateway=made)
    await client.chat(ASKED)
    seen = await client.chat(PARAPHRASE, max_latency_ms=10_000)
    assert (seen.status, answered(seen)) == (200, "fwd=miss")
    assert 'semantic;desc="skipped"' in seen.headers["server-timing"]
    assert answered(await client.chat(f"{PARAPHRASE} ?", cache_control="no-store")) == "semantic"


async def test_what_speaks_to_us_is_neither_sent_on_nor_part_of_the_key(served, settings):
    sent = []

    class Listening:
        def __init__(self, inner):
            self.inner = inner

        async def ask(self, call):
            sent.append(json.loads(request_body(call, usage=False)))
            return await self.inner.ask(call)

    made = gateway(settings)
    models = replace(made.models, upstream=Listening(made.models.upstream))
    client = await served(settings, gateway=replace(made, models=models))
    wishes = {"similar": False, "similarity": 0.9, "tags": ["a"], "coalesce": False, "ttl": 60, "context": "v1"}
    await client.chat(subsecond=wishes)
    assert answered(await client.chat()) == "exact"
    assert set(sent[0]) == {"model", "messages"}
    await client.post("/v1/completions", {"prompt": "Hi", "subsecond": {"compare": "Hi"}})
    assert set(sent[1]) == {"model", "prompt"}


def test_every_wish_becomes_a_rule_of_the_call():
    wishes = {
        "similar": False,
        "similarity": 0.95,
        "tags": ["a", "b", "a"],
        "coalesce": False,
        "ttl": 60,
        "compare": "x",
        "context": "v1",
    }
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "subsecond": wishes}
    call = to_call("chat", Asked(body), check(ChatBody, body), "", None)
    rules = call.rules
    assert (rules.similar, rules.similarity, rules.tags, rules.coalesce, rules.ttl) == (
        False,
        0.95,
        ("a", "b"),
        False,
        60,
    )
    assert (call.compared, call.context) == ("x", "v1")


async def test_a_life_of_no_time_stores_nothing(served):
    client = await served()
    await client.chat(subsecond={"ttl": 0})
    assert answered(await client.chat(subsecond={"ttl": 30})) == "fwd=miss"
    ttl = kind(await client.chat())[1]
    assert 25 <= int(ttl.removeprefix("ttl=")) <= 30


async def test_the_caller_names_the_text_to_compare(served, near):
    client = await served(near)

    async def ask(question, passages, **wishes):
        return answered(await client.chat(rag(question, passages), subsecond={"compare": question, **wishes}))

    assert await ask(ASKED, "A") == "fwd=miss"
    assert await ask(PARAPHRASE, "A") == "semantic"
    assert await ask(PARAPHRASE, "B") == "fwd=miss"
    assert await ask("How do I reset the router?", "A") == "fwd=miss"
    assert await ask(ASKED, "C", context="v1") == "fwd=miss"
    assert await ask(PARAPHRASE, "D", context="v1") == "semantic"
    assert await ask(PARAPHRASE, "E", context="v2") == "fwd=miss"


async def test_long_passages_are_no_obstacle_when_the_question_is_named(served, near):
    client = await served(near)
    passages = "word " * 4_000
    for question, source in ((ASKED, "fwd=miss"), (PARAPHRASE, "semantic")):
        seen = await client.chat(rag(question, passages), subsecond={"compare": question})
        assert answered(seen) == source


@pytest.mark.parametrize(
    ("wishes", "param"),
    [
        ([], "subsecond"),
        ("off", "subsecond"),
        ({"similar": "no"}, "subsecond.similar"),
        ({"similarity": "high"}, "subsecond.similarity"),
        ({"similarity": 1.5}, "subsecond.similarity"),
        ({"tags": "a"}, "subsecond.tags"),
        ({"tags": ["a b"]}, "subsecond.tags.0"),
        ({"tags": ["a"] * 11}, "subsecond.tags"),
        ({"tags": ["x" * 65]}, "subsecond.tags.0"),
        ({"coalesce": 1}, "subsecond.coalesce"),
        ({"ttl": -1}, "subsecond.ttl"),
        ({"compare": 5}, "subsecond.compare"),
        ({"compare": "not there"}, "subsecond.compare"),
        ({"context": ""}, "subsecond.context"),
        ({"similarty": 0.9}, "subsecond.similarty"),
    ],
    ids=str,
)
async def test_a_wish_that_is_none_is_a_400_that_names_it(served, wishes, param):
    client = await served()
    # Streamed, because it must be refused before the stream has begun.
    seen = await client.chat(subsecond=wishes, stream=True)
    assert seen.status == 400
    assert seen.json["error"]["param"] == param
    assert seen.json["error"]["type"] == "invalid_request_error"


def test_a_misspelt_wish_is_told_which_there_are():
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "subsecond": {"simlar": False}}
    with pytest.raises(InvalidRequest, match=r"'subsecond.simlar': there is no such field. There are similar, "):
        check(ChatBody, body)


def test_no_wish_is_nothing_special():
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "subsecond": None}
    assert to_call("chat", Asked(body), check(ChatBody, body), "", None).rules.similar
    with pytest.raises(InvalidRequest):
        check(ChatBody, {**body, "subsecond": {"n": 1}})
