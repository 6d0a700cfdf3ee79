"""What the OpenAI upstream sends: the client's form, its bytes, and what is added to them."""

from dataclasses import replace

import pytest

from subsecond.config import Settings
from subsecond.errors import Unavailable, UpstreamError
from subsecond.ports import Reply
from subsecond.upstreams.openai import build
from tests.support.asking import call, collect, forwarded, refused, whole
from tests.support.raw_server import END, HEAD, answer, event, part, reply

USAGE = {"include_usage": True}


async def test_a_whole_call_is_asked_whole(serving):
    upstream, server = await serving(reply(200, b'{"a": 1}'))
    found = await upstream.ask(whole(temperature=0.3))
    assert (found.body, found.status) == (b'{"a": 1}', 200)
    assert server.body() == {**whole(temperature=0.3).body, "model": "m"}


async def test_a_stream_is_asked_to_stream_and_to_count(serving):
    upstream, server = await serving(answer(b"{}"))
    unknown = {"x": [1, {"y": None}], "tools": [{"type": "function", "function": {"name": "f"}}], "model": "other"}
    await collect(upstream, call(**unknown))
    assert server.body() == {**call(**unknown).body, "model": "m", "stream": True, "stream_options": USAGE}


@pytest.mark.parametrize("own", [{"include_usage": False, "x": 1}, {"x": 1}, {}])
async def test_the_clients_own_stream_options_stay(serving, own):
    upstream, server = await serving(answer(b"{}"))
    await collect(upstream, with_options(call(), own))
    assert server.body()["stream_options"] == {**own, **USAGE}


def with_options(asked, options):
    return replace(asked, stream_options=options)


async def test_a_whole_calls_own_bytes_are_forwarded(serving):
    upstream, server = await serving(reply(200, {}))
    for data in (b' {"model":"m" , "stream":false,"n":1.0}\n', b'{"model": "m", "messages": ["\\ud83d \xc3\xa9"]}'):
        await upstream.ask(forwarded(data, whole()))
        assert server.requests[-1][2] == data


async def test_a_streams_own_bytes_are_forwarded_with_one_field_more(serving):
    upstream, server = await serving(answer(b"{}"))
    await collect(upstream, forwarded(b' { "model":"m","stream":true, "n":1.0}', call()))
    assert server.requests[0][2] == b' {"stream_options":{"include_usage":true}, "model":"m","stream":true, "n":1.0}'
    data = b'{"stream":true,"stream_options":{"include_usage":true}}'
    await collect(upstream, forwarded(data, with_options(call(), USAGE)))
    assert server.requests[1][2] == data


async def test_an_edited_call_does_not_send_the_bytes_that_it_came_in(serving):
    upstream, server = await serving(reply(200, {}))
    asked = forwarded(b'{"old": 1}', whole())
    await upstream.ask(replace(asked, body={"new": 1}))
    await upstream.ask(replace(asked, model="other"))
    assert server.body(0) == {"new": 1, "model": "m"}
    assert server.body(1) == {**asked.body, "model": "other"}
    # Options that the body holds already cannot be put in front of it.
    upstream, server = await serving(answer(b"{}"))
    await collect(upstream, forwarded(b'{"stream":true,"stream_options":null}', call()))
    assert server.body()["stream_options"] == USAGE


@pytest.mark.parametrize("form", ["whole", "stream"])
@pytest.mark.parametrize("data", [b'{"a":1,"b":0,"a":2}', b'{"x":[{"y":{"a":1,"\\u0061":2}}]}'])
async def test_bytes_that_name_a_field_twice_are_not_forwarded(serving, data, form):
    """Some servers take the first of them, and what was looked up in the cache is the last."""
    upstream, server = await serving(reply(200, {}))
    await upstream.ask(forwarded(data, call(form=form)))
    assert server.body().items() >= call().body.items()


REFUSALS = [
    (400, {"error": {"message": "Unknown parameter: 'stream_options'.", "param": "stream_options"}}),
    (400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]}),
    (422, {"object": "error", "message": {"detail": [{"loc": ["body", "stream_options", "include_usage"]}]}}),
    (400, b"stream_options.include_usage is not supported"),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
async def test_a_server_that_refuses_stream_options_is_asked_once_without_and_remembered(serving, status, body):
    upstream, server = await serving(reply(status, body), answer(b"{}"))
    assert await collect(upstream) == [b"{}"]
    assert await collect(upstream) == [b"{}"]
    sent = [server.body(number) for number in range(3)]
    assert [("stream_options" in body, body["stream"]) for body in sent] == [(True, True), (False, True), (False, True)]
    assert len(server.requests) == 3


async def test_what_is_remembered_is_one_models(serving):
    upstream, server = await serving(reply(*REFUSALS[0]), answer(b"{}"))
    await collect(upstream)
    await collect(upstream, replace(call(), model="another"))
    assert "stream_options" in server.body(2)


async def test_a_refusal_that_stays_is_told_and_not_remembered(serving):
    """Servers that quote the whole request in each error name the field in each of them."""
    upstream, server = await serving(reply(400, {"error": {"message": "Bad temperature in {'stream_options': ...}"}}))
    for asked in (2, 4):
        error = await refused(UpstreamError, upstream)
        assert (error.status, error.message[:15]) == (400, "Bad temperature")
        assert len(server.requests) == asked


async def test_options_that_the_client_sent_itself_are_its_own_mistake(serving):
    upstream, server = await serving(reply(*REFUSALS[0]))
    error = await refused(UpstreamError, upstream, with_options(call(), USAGE))
    assert (error.status, len(server.requests)) == (400, 1)
    # Where we added to them, it is asked again with what the client said.
    upstream, server = await serving(reply(*REFUSALS[0]), answer(b"{}"))
    assert await collect(upstream, with_options(call(), {"include_obfuscation": False})) == [b"{}"]
    assert server.body(1)["stream_options"] == {"include_obfuscation": False}


@pytest.mark.parametrize("form", ["whole", "stream"])
async def test_other_refusals_are_not_asked_again(serving, form):
    upstream, server = await serving(reply(400, {"error": {"message": "No."}}))
    await refused(UpstreamError, upstream, call(form=form))
    assert len(server.requests) == 1


@pytest.mark.parametrize(("endpoint", "path"), [("chat", "/v1/chat/completions"), ("text", "/v1/completions")])
@pytest.mark.parametrize("base", ["/v1", "/v1/"])
async def test_the_path_follows_from_the_endpoint(serving, endpoint, path, base):
    upstream, server = await serving(answer(b"{}"), path=base)
    await collect(upstream, call(endpoint=endpoint))
    assert server.requests[0][0] == f"POST {path} HTTP/1.1"


async def test_the_key_is_sent_once_as_authorization(serving):
    upstream, server = await serving(answer(b"{}"), upstream_key="sk-ours")
    await collect(upstream)
    _, head, body = server.requests[0]
    assert head.lower().count("sk-ours") == 1
    assert "authorization: bearer sk-ours\r\n" in head.lower()
    assert b"sk-ours" not in body


async def test_compression_is_not_asked_for(serving):
    upstream, server = await serving(answer(b"{}"))
    await collect(upstream)
    assert "\r\naccept-encoding: identity\r\n" in server.requests[0][1].lower()


async def test_half_a_surrogate_goes_through_as_it_came(serving):
    upstream, server = await serving(answer(b"{}"))
    await collect(upstream, call(user="\ud83d \N{GRINNING FACE} é"))
    assert server.body()["user"] == "\ud83d \N{GRINNING FACE} é"


@pytest.mark.parametrize("key", ["sk\r\nx-evil: 1", "sk-\N{EM DASH}", "sk\x00"])
async def test_a_key_that_no_header_can_carry_is_not_sent(serving, key):
    upstream, server = await serving(answer(b"{}"), upstream_key=key)
    await refused(Unavailable, upstream)
    assert server.requests == []


@pytest.mark.parametrize("adapter", ["openai", "openai_package"])
async def test_cookies_do_not_pass_from_one_call_to_the_next(serving, adapter):
    head = HEAD.replace(b"\r\n\r\n", b"\r\nset-cookie: who=acme; path=/\r\n\r\n")
    upstream, server = await serving([head + event(b"{}") + part(b"data: [DONE]\n\n") + END], adapter=adapter)
    await collect(upstream)
    await collect(upstream)
    assert "who=acme" not in server.requests[1][1]


async def test_a_server_that_wants_no_key_is_sent_none(serving):
    upstream, server = await serving(answer(b"{}"), upstream_key="")
    assert await collect(upstream) == [b"{}"]
    assert "authorization" not in server.requests[0][1].lower()


async def test_whatever_else_is_fetched_whole(serving):
    upstream, server = await serving(reply(200, {"data": []}))
    found = await upstream.fetch("/embeddings", {"model": "m", "input": "é"}, None)
    assert found == Reply(b'{"data": []}')
    assert (await upstream.fetch("/models", None, None)).body == b'{"data": []}'
    assert [first for first, _, _ in server.requests] == ["POST /v1/embeddings HTTP/1.1", "GET /v1/models HTTP/1.1"]
    assert (server.body(), server.requests[1][2]) == ({"model": "m", "input": "é"}, b"")


async def test_anthropic_is_sent_its_key_and_version_where_it_looks_for_them(serving):
    upstream, server = await serving(reply(200, {}), upstream_kind="anthropic", upstream_key="sk-ant")
    asked = replace(whole(), endpoint="messages", headers=((b"anthropic-version", b"2099-01-01"),))
    await upstream.ask(asked)
    await upstream.fetch("/models", None, None)
    await upstream.ask(whole())
    heads = [head.lower() for _, head, _ in server.requests]
    assert ["x-api-key: sk-ant" in head for head in heads] == [True, True, False]
    assert ["authorization: bearer sk-ant" in head for head in heads] == [False, False, True]
    versions = ("anthropic-version: 2099-01-01", "anthropic-version: 2023-06-01")
    assert [[one in head for one in versions] for head in heads] == [[True, False], [False, True], [False, False]]


async def test_other_servers_of_messages_are_sent_the_key_as_always(serving):
    upstream, server = await serving(reply(200, {}), upstream_key="sk-own")
    await upstream.ask(replace(whole(), endpoint="messages"))
    assert server.requests[0][0] == "POST /v1/messages HTTP/1.1"
    assert "authorization: bearer sk-own" in server.requests[0][1].lower()


async def test_without_an_address_a_call_says_which_setting_is_missing():
    upstream = build(Settings())
    for asked in (upstream.ask(call()), upstream.fetch("/models", None, None), upstream.warm()):
        with pytest.raises(Unavailable, match="SUBSECOND_UPSTREAM_URL"):
            await asked


@pytest.mark.parametrize(
    "url",
    ["host/v1", "ftp://host/v1", "http://", "https://host/v1?a=b", "http://host:99999999/v1", "https://me:key@host/v1"],
)
def test_an_address_that_is_none_is_an_error_at_once(url):
    with pytest.raises(ValueError, match="SUBSECOND_UPSTREAM_URL"):
        build(Settings(upstream_url=url))


@pytest.mark.parametrize("place", ["sk-secret", "vault:mine"])
def test_a_secrets_place_that_is_none_is_an_error_at_once_that_does_not_repeat_it(place):
    with pytest.raises(ValueError, match="SUBSECOND_UPSTREAM_SECRET") as caught:
        build(Settings(upstream_secret=place))
    assert place not in str(caught.value)


def test_a_name_in_other_letters_is_written_as_dns_does():
    from subsecond.upstreams.wire import Wire

    head = Wire(Settings(upstream_url="https://bücher.example:8443/v 1/"))._head("/models", "")
    assert head.startswith(b"/v%201/models HTTP/1.1\r\nhost: xn--bcher-kva.example:8443\r\n")
    head = Wire(Settings(upstream_url="http://[::1]:8000"))._head("/models", "")
    assert head.startswith(b"/models HTTP/1.1\r\nhost: [::1]:8000\r\n")


def test_the_memory_of_refusals_ends_and_is_bounded():
    from subsecond.upstreams.request_body import MAX_MODELS, UsageRefusals

    memory = UsageRefusals()
    memory.add("a")
    for number in range(MAX_MODELS - 1):
        memory.add(str(number))
    assert "a" in memory
    memory.add("one more")
    assert ("a" in memory, "0" in memory) == (True, False)
    memory._until["a"] = 0.0
    assert "a" not in memory
    assert len(memory._until) == MAX_MODELS - 1
