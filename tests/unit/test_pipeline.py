"""One request's whole life, with everything in memory."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.errors import NotCached, Unauthorized, Unavailable, UpstreamUnreachable
from subsecond.model import CacheRules, Call, Chunk, Done, Head, Tenant
from subsecond.ports import Reply
from subsecond.stats.trace import Trace
from subsecond.stores.memory.answers import MemoryStore
from tests.support.scripted import ScriptedStream, piece, whole


class Scripted:
    """An upstream that streams these payloads, then does what `end` does; counts its calls and who closed it."""

    def __init__(self, *payloads, end=None):
        self.steps = [*payloads, *([end] if end else [])]
        self.calls = self.closed = 0

    async def ask(self, call):
        self.calls += 1
        return ScriptedStream(self.steps, self.close)

    def close(self):
        self.closed += 1

    async def fetch(self, path, body, deadline):
        raise AssertionError


async def dies():
    raise UpstreamUnreachable("The model's stream broke off.")


async def events_of(made, tenant, call, trace=None):
    async with aclosing(made.complete(tenant, call, trace or Trace())) as events:
        return [event async for event in events]


def asking(made, upstream):
    return replace(made, models=replace(made.models, upstream=upstream))


@pytest.fixture
def ask(ask):
    """Calls for streams."""
    return lambda *args, **fields: replace(ask(*args, **fields), form="stream")


@pytest.fixture
def made(settings):
    return gateway(settings)


async def test_the_first_event_is_a_head_and_the_last_is_done(made, tenant, ask):
    events = await events_of(made, tenant, ask())
    assert isinstance(events[0], Head)
    assert events[0].source == "upstream"
    assert isinstance(events[-1], Done)
    again = await events_of(made, tenant, ask())
    assert [type(event) for event in again] == [Head, Done]
    assert again[0].source == "exact"
    assert again[-1].recording == events[-1].recording


async def test_a_whole_request_is_asked_whole_and_its_body_passes_as_it_came(made, tenant, ask):
    body = whole("Hi").replace(b", ", b",\n ")
    asked = []

    class Whole(Scripted):
        async def ask(self, call):
            asked.append(call.form)
            return Reply(body)

    made = asking(made, Whole())
    call = replace(ask(), form="whole")
    head, chunk, done = await events_of(made, tenant, call)
    assert (head.source, chunk.data, done.recording.payloads, asked) == ("upstream", body, (body,), ["whole"])
    assert (await events_of(made, tenant, call))[-1].recording.payloads == (body,)


@pytest.mark.parametrize("first", ["whole", "stream"])
async def test_what_one_form_has_stored_answers_the_other(made, tenant, ask, first):
    other = {"whole": "stream", "stream": "whole"}[first]
    kept = (await events_of(made, tenant, replace(ask(), form=first)))[-1].recording
    head, done = await events_of(made, tenant, replace(ask(), form=other))
    assert (head.source, kept.form, done.recording.form) == ("exact", first, other)
    assert done.recording.text == kept.text


async def test_what_does_not_convert_is_a_miss_for_the_other_form_and_kept_beside_the_first(made, tenant, ask):
    odd = piece("Hi", "stop").replace(b'"index"', b'"unheard_of": 1, "index"')
    both = Scripted(odd)
    both_forms = asking(made, both)
    await events_of(both_forms, tenant, ask())
    whole_call, trace = replace(ask(), form="whole"), Trace()
    plain = asking(made, Scripted(piece("Hello", "stop")))
    assert (await events_of(plain, tenant, whole_call, trace))[0].source == "upstream"
    assert trace.counts["form_declined"]
    for call, text in ((ask(), "Hi"), (whole_call, "Hello")):
        head, done = await events_of(plain, tenant, call)
        assert (head.source, done.recording.text, done.recording.form) == ("exact", text, call.form)


async def test_a_usage_chunk_is_marked_and_a_comment_is_passed_on_and_not_kept(made, tenant, ask):
    usage = b'{"choices": [], "usage": {"completion_tokens": 1}}'
    events = await events_of(
        asking(made, Scripted(Chunk(b" ping", comment=True), piece("a", "stop"), usage)), tenant, ask()
    )
    chunks = [event for event in events if isinstance(event, Chunk)]
    assert [(one.comment, one.usage) for one in chunks] == [(True, False), (False, False), (False, True)]
    assert events[-1].recording.payloads == (piece("a", "stop"), usage)
    assert events[-1].recording.usage == {"completion_tokens": 1}


async def test_the_answer_is_stored_before_the_generator_ends_but_after_done(made, tenant, ask):
    async with aclosing(made.complete(tenant, ask(), Trace())) as events:
        async for event in events:
            if isinstance(event, Done):
                assert len(made.exact) == 0
    assert len(made.exact) == 1


async def test_a_broken_stream_is_not_stored(made, tenant, ask):
    broken = asking(made, Scripted(piece("a"), piece("b", "stop"), end=dies))
    with pytest.raises(UpstreamUnreachable):
        await events_of(broken, tenant, ask())
    assert len(made.exact) == 0


@pytest.mark.parametrize("finish", ["content_filter", None, "error"])
async def test_an_answer_that_did_not_finish_well_is_passed_on_and_not_stored(made, tenant, ask, finish):
    events = await events_of(asking(made, Scripted(piece("a", finish))), tenant, ask())
    assert isinstance(events[-1], Done)
    assert len(made.exact) == 0


async def test_a_stream_without_an_event_fails_before_the_head(made, tenant, ask):
    with pytest.raises(UpstreamUnreachable):
        await events_of(asking(made, Scripted()), tenant, ask())


async def test_leaving_the_stream_closes_the_upstream_and_stores_nothing(made, tenant, ask):
    upstream = Scripted(piece("a"), piece("b"), piece("c", "stop"))
    async with aclosing(asking(made, upstream).complete(tenant, ask(), Trace())) as events:
        await anext(events)
        await anext(events)
    assert upstream.closed == 1
    assert len(made.exact) == 0


async def test_cancelling_closes_the_upstream(made, tenant, ask):
    waiting = asyncio.Event()

    async def hang():
        waiting.set()
        await asyncio.Event().wait()

    upstream = Scripted(piece("a"), end=hang)
    task = asyncio.create_task(events_of(asking(made, upstream), tenant, ask()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstream.closed == 1


class Dead:
    """A store that is away, or hangs."""

    def __init__(self, *, hangs=False):
        self.hangs = hangs

    async def fail(self, *_args):
        if self.hangs:
            await asyncio.Event().wait()
        raise ConnectionError("no such host")

    get = put = tenant = fail


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_store_that_is_away_is_a_counted_miss(settings, tenant, ask, hangs):
    made = gateway(replace(settings, store_timeout=0.01))
    trace = Trace()
    events = await events_of(replace(made, exact=Dead(hangs=hangs)), tenant, ask(), trace)
    assert isinstance(events[-1], Done)
    assert trace.counts == {"exact_failed": 1, "store_failed": 1, "semantic_cold": 1}


async def test_a_key_store_that_is_away_lets_nobody_in(made):
    with pytest.raises(Unavailable):
        await replace(made, keys=Dead()).authenticate("sk-test", Trace())


@pytest.mark.parametrize("token", [None, "", "sk-tes", "sk-test2", "SK-TEST"])
async def test_an_unknown_key_is_refused(made, token):
    with pytest.raises(Unauthorized):
        await made.authenticate(token, Trace())


async def test_the_rules_of_the_request_are_obeyed(made, tenant, ask):
    def ruled(**rules):
        return replace(ask(), rules=CacheRules(**rules))

    async def source(call):
        return (await events_of(made, tenant, call))[0].source

    assert await source(ruled(write=False)) == "upstream"
    with pytest.raises(NotCached):
        await source(ruled(only_if_cached=True))
    assert await source(ruled(read=False)) == "upstream"
    assert await source(ruled(only_if_cached=True)) == "exact"
    assert await source(ruled(max_age=0.0)) == "upstream"


async def test_every_exit_is_recorded(made, tenant, ask):
    class Counting:
        def __init__(self):
            self.traces = []

        def record(self, trace):
            self.traces.append(trace)

        async def flush(self, *, force=False):
            pass

    ledger = Counting()
    counted = replace(made, ledger=ledger)
    await events_of(counted, tenant, ask())
    await events_of(counted, tenant, ask())
    with pytest.raises(UpstreamUnreachable):
        await events_of(asking(counted, Scripted(piece("a"), end=dies)), tenant, ask("other"))
    async with aclosing(counted.complete(tenant, ask("third"), Trace())) as events:
        await anext(events)
    assert [(trace.source, trace.error) for trace in ledger.traces] == [
        ("upstream", None),
        ("exact", None),
        ("upstream", "UpstreamUnreachable"),
        ("upstream", "GeneratorExit"),
    ]
    assert all(trace.total is not None for trace in ledger.traces)


tenants = st.builds(Tenant, st.sampled_from(["acme", "other"]), st.sampled_from(["prod", "test"]), st.just("key"))
calls = st.builds(
    lambda text, model, temperature, system, tools, form: Call(
        "chat",
        model,
        {
            "model": model,
            "messages": [*system, {"role": "user", "content": text}],
            **({} if temperature is None else {"temperature": temperature}),
            **({"tools": tools} if tools else {}),
        },
        form=form,
    ),
    st.sampled_from(["Hello?", "hello?", "Bye"]),
    st.sampled_from(["sim-t0-i0-n4", "sim-t0-i0-n4-a"]),
    st.sampled_from([None, 0, 1]),
    st.sampled_from([[], [{"role": "system", "content": "A"}], [{"role": "system", "content": "B"}]]),
    st.sampled_from(
        [[], [{"type": "function", "function": {"name": "f"}}], [{"type": "function", "function": {"name": "g"}}]]
    ),
    st.sampled_from(["whole", "stream"]),
)


@pytest.mark.parametrize(("semantic", "same"), [("off", str), ("guarded", str.lower)])
@given(st.lists(st.tuples(tenants, calls), min_size=2, max_size=20))
async def test_nobody_is_answered_with_what_another_asked(semantic, same, asked):
    """The upstream echoes who asked what; an answer that does not echo its own request came from somewhere else. Where
    similar questions are answered, these here are similar only in the case of their letters."""

    class Echo(Scripted):
        asker = None

        async def ask(self, call):
            said = repr((self.asker, call.model, dict(call.body)))
            return Reply(whole(said)) if call.form == "whole" else ScriptedStream([piece(said, "stop")])

    echo = Echo()
    made = asking(
        replace(
            gateway(Settings(upstream="subsecond_local.simulator.adapter", semantic=semantic)),
            exact=MemoryStore(1 << 20),
        ),
        echo,
    )
    for tenant, call in asked:
        echo.asker = tenant.partition
        events = await events_of(made, tenant, call)
        assert same(events[-1].recording.text) == same(repr((tenant.partition, call.model, dict(call.body))))
