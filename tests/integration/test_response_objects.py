"""Objects that an upstream keeps of responses: two tenants try every route on each other's ids."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256

import pytest

from subsecond.aio.lazy import Lazy
from subsecond.api.responses import MOST_NAMED
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.model import Tenant
from subsecond.ports import OWNERS_BATCH
from subsecond.stores.memory.keys import MemoryKeys
from tests.support.responses import message, payloads, response, stream
from tests.support.wires import event, head, whole

PATH = "/v1/responses"
TENANTS = {"sk-acme": Tenant("acme", "prod", "a"), "sk-rival": Tenant("rival", "prod", "r")}
ROUTES = [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]


class Keeper:
    """A server that keeps each response under an id of its own. asked: method and target of each request. rest: what
    follows an answer, once `let` is set."""

    def __init__(self, name="eu"):
        self.name, self.asked, self.bodies, self.port = name, [], [], 0
        self.rest, self.let = b"", asyncio.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        raw = await reader.readexactly(int(length[0].split(":")[1]) if length else 0)
        method, target = head.split(" ")[:2]
        self.asked.append(f"{method} {target}")
        writer.write(self.answer(method, target, json.loads(raw) if raw else {}))
        await writer.drain()
        if self.rest:
            await self.let.wait()
            writer.write(self.rest)
        writer.close()

    def answer(self, method, target, body):
        if (method, target) != ("POST", "/v1/responses"):
            return whole({"of": self.name, "told": f"{method} {target}"})
        self.bodies.append(body)
        made = f"{self.name}{len(self.bodies)}"
        found = response(message(f"From {self.name}.", f"msg_{made}"), id=f"resp_{made}")
        return stream(*payloads(found)) if body.get("stream") else whole(found)


@asynccontextmanager
async def running(keeper):
    listener = await asyncio.start_server(keeper.serve, "127.0.0.1", 0)
    keeper.port = listener.sockets[0].getsockname()[1]
    yield keeper
    listener.close()


@pytest.fixture
async def kept(served):
    """`client, keeper = await kept()`: two tenants before one server."""
    contexts = []

    async def start(**fields):
        context = running(Keeper())
        contexts.append(context)
        keeper = await context.__aenter__()
        made = gateway(Settings(upstream_url=keeper.url, semantic="off", upstream_retries=0, **fields))
        keys = MemoryKeys({sha256(key.encode()).hexdigest(): tenant for key, tenant in TENANTS.items()})
        client = await served(gateway=replace(made, keys=keys))
        client.key = "sk-acme"
        return client, keeper

    yield start
    for context in contexts:
        await context.__aexit__(None, None, None)


async def ask(client, key="", **fields):
    return await client.post(PATH, {"model": "m", "input": "Who?", **fields}, key=key)


@pytest.mark.parametrize(("method", "behind"), ROUTES)
@pytest.mark.parametrize("form", [False, True])
async def test_an_object_is_there_for_its_own_partition_and_for_no_other(kept, method, behind, form):
    client, keeper = await kept()
    assert (await ask(client, stream=form)).status == 200
    theirs = await client.send(method, f"{PATH}/resp_eu1{behind}", key="sk-rival")
    nobodys = await client.send(method, f"{PATH}/resp_eu9{behind}", key="sk-rival")
    assert (theirs.status, nobodys.status) == (404, 404)
    assert theirs.json["error"]["message"].replace("eu1", "eu9") == nobodys.json["error"]["message"]
    assert theirs.json["error"]["type"] == "invalid_request_error"
    assert len(keeper.asked) == 1  # the server is not asked
    mine = await client.send(method, f"{PATH}/resp_eu1{behind}")
    assert (mine.status, mine.json["told"]) == (200, f"{method} {PATH}/resp_eu1{behind}")
    assert mine.headers["x-request-id"]


async def test_what_was_deleted_is_gone(kept):
    client, _ = await kept()
    await ask(client)
    seen = [(await client.send(method, f"{PATH}/resp_eu1")).status for method in ("DELETE", "GET", "DELETE")]
    assert seen == [200, 404, 404]


async def test_a_query_is_passed_on_as_it_came(kept):
    client, keeper = await kept()
    await ask(client)
    await client.send("GET", f"{PATH}/resp_eu1/input_items?limit=2&include[]=a%20b")
    assert keeper.asked[-1] == f"GET {PATH}/resp_eu1/input_items?limit=2&include%5B%5D=a%20b"


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2Fb", "a%20b", "x" * 200, "resp_eu1%00"])
async def test_what_is_no_id_is_nobodys(kept, name):
    client, keeper = await kept()
    await ask(client)
    assert (await client.send("GET", f"{PATH}/{name}")).status in (404, 405)
    assert len(keeper.asked) == 1


NAMED = [
    {"previous_response_id": "resp_eu1"},
    {"input": [{"type": "item_reference", "id": "msg_eu1"}, {"role": "user", "content": "Go on."}]},
    {"input": [{"id": "msg_eu1"}]},
    {"store": False, "input": [{"type": "item_reference", "id": "msg_eu1", "x": 1}]},
    {"store": False, "input": [{"id": "msg_eu1", "x": 1}]},
    {"store": False, "input": [{"type": "reasoning", "id": "msg_eu1", "summary": [{"text": "x"}]}]},
    {"store": False, "tools": [{"type": "shell", "environment": {"container_id": "msg_eu1"}}]},
    {"store": False, "input": [{"type": "code_interpreter_call", "code": "1", "container_id": "msg_eu1"}]},
    {"store": False, "previous_response_id": "resp_eu1"},
]


@pytest.mark.parametrize("fields", NAMED)
async def test_nobody_goes_on_from_what_is_another_partitions(kept, fields):
    client, keeper = await kept()
    await ask(client, store=True)
    seen = await ask(client, key="sk-rival", **fields)
    assert (seen.status, len(keeper.bodies)) == (404, 1)
    assert (await ask(client, **fields)).status == 200
    assert keeper.bodies[1].items() >= fields.items()
    # Neither stored nor read: it is asked for again, and not at all once it is gone.
    assert ((await ask(client, **fields)).status, len(keeper.bodies)) == (200, 3)


async def test_items_that_are_sent_back_whole_are_answered_from_the_cache(kept):
    client, keeper = await kept()
    told = (await ask(client, store=False)).json["output"]
    for _ in range(2):
        items = [*told, {"role": "user", "content": "Go on."}]
        assert (await ask(client, store=False, input=items)).status == 200
    assert len(keeper.bodies) == 2


async def test_a_tool_that_acts_elsewhere_acts_each_time(kept):
    client, keeper = await kept(responses_state="ignore")
    for _ in range(2):
        await ask(client, store=False, tools=[{"type": "mcp", "server_label": "shop", "server_url": "https://x"}])
    assert len(keeper.bodies) == 2


@pytest.fixture
async def watched(kept, served):
    """`client, asked = watched`: asked has the names of each look for owners; all are the asker's but `gone`."""
    _, keeper = await kept()
    asked = []

    class Watched:
        async def places(self, _partition, names):
            asked.append(list(names))
            return {name: "m" for name in names if name != "gone"}

        async def add(self, *_):
            pass

    made = gateway(Settings(upstream_url=keeper.url, api_key="sk-acme", semantic="off"))
    parts = replace(made, models=replace(made.models, owners=Lazy(Watched)))
    return await served(Settings(api_key="sk-acme"), gateway=parts), asked


def references(*names):
    return [{"type": "item_reference", "id": name} for name in names]


async def test_so_many_objects_are_named_and_no_more(watched):
    client, asked = watched
    names = [f"msg_{n}" for n in range(MOST_NAMED + 1)]
    seen = await ask(client, input=references(*names))
    assert (seen.status, asked) == (400, [])
    assert {**seen.json["error"], "message": ""} == {
        "message": "",
        "type": "invalid_request_error",
        "param": "input",
        "code": "array_above_max_length",
    }
    assert (await ask(client, input=references(*names[:-1], *names[:-1]))).status == 200
    assert [name for names in asked for name in names] == names[:-1]
    assert max(map(len, asked)) == OWNERS_BATCH


async def test_behind_one_that_is_missing_none_is_looked_for(watched):
    client, asked = watched
    assert (
        await ask(client, input=references(*(f"msg_{n}" for n in range(50)), "gone", *map(str, range(300))))
    ).status == 404
    assert list(map(len, asked)) == [OWNERS_BATCH]


@pytest.mark.parametrize("name", ["\ud800", "x" * 129, "x" * 3000, "", "a b", "a#b", "\u00e9", 5, None])
async def test_what_cannot_be_an_id_is_looked_for_nowhere(watched, name):
    client, asked = watched
    seen = await ask(client, input=references("msg_1", name))
    assert (seen.status, seen.json["error"]["code"], asked) == (404, "not_found", [])


async def test_an_id_that_cannot_be_asked_for_is_not_recorded(kept, served):
    _, keeper = await kept()
    keeper.name, added = "e" * 3000, []

    class Watched:
        async def add(self, *told):
            added.append(told)

    made = gateway(Settings(upstream_url=keeper.url, api_key="sk-acme", semantic="off"))
    parts = replace(made, models=replace(made.models, owners=Lazy(Watched)))
    client = await served(Settings(api_key="sk-acme"), gateway=parts)
    assert ((await ask(client)).status, added) == (200, [])


async def test_items_that_were_made_in_the_background_are_their_askers(kept):
    client, keeper = await kept()
    await ask(client, background=True)
    done = response(message("Done.", "msg_late"), id="resp_eu1", background=True)
    keeper.answer = lambda *_: whole(done)
    late = {"input": references("msg_late")}
    assert (await ask(client, **late)).status == 404
    assert (await client.send("GET", f"{PATH}/resp_eu1")).json == done
    assert (await ask(client, **late)).status == 200
    assert (await ask(client, key="sk-rival", **late)).status == 404


@asynccontextmanager
async def told_again(client, keeper, *said, rest=b"", query="?stream=true&starting_after=4"):
    """The gateway's answer to who has events told again: the keeper says these, and the rest once it is let."""
    await ask(client, background=True)
    keeper.answer, keeper.rest = (lambda *_: head() + b"".join(map(event, said))), rest
    sent = {"authorization": f"Bearer {client.key}"}
    async with client.http.stream("GET", f"{PATH}/resp_eu1{query}", headers=sent) as seen:
        yield seen


async def test_events_are_told_again_as_they_come(kept):
    client, keeper = await kept()
    begin, *rest = payloads(response(message("Done.", "msg_late"), id="resp_eu1", background=True))
    async with told_again(client, keeper, begin, rest=b"".join(map(event, rest))) as seen:
        pieces = seen.aiter_bytes()
        got = await anext(pieces)
        assert (got, keeper.asked[-1]) == (event(begin), f"GET {PATH}/resp_eu1?stream=true&starting_after=4")
        keeper.let.set()
        async for piece in pieces:
            got += piece
    assert got == b"".join(map(event, [begin, *rest]))
    assert (seen.status_code, seen.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    keeper.rest, keeper.answer = b"", lambda *_: whole(response())
    # Its items are the asker's from now on, and it is nobody else's.
    assert (await ask(client, input=references("msg_late"))).status == 200
    asked = len(keeper.asked)
    theirs = await client.send("GET", f"{PATH}/resp_eu1?stream=true", key="sk-rival")
    assert (theirs.status, theirs.json["error"]["code"], len(keeper.asked)) == (404, "not_found", asked)


async def test_who_is_told_events_again_hears_that_they_break_off(kept):
    client, keeper = await kept()
    keeper.let.set()
    begin, *_ = payloads(response(id="resp_eu1"))
    async with told_again(client, keeper, begin, rest=b'data: {"type": "response.out') as seen:
        got = (await seen.aread()).split(b"\n\n")
    assert got[0] == event(begin).strip()
    failed = json.loads(got[1].removeprefix(b"event: error\ndata: "))
    assert (failed["type"], failed["code"], failed["sequence_number"]) == ("error", "upstream_broke_off", 1)


@pytest.mark.parametrize("path", ["compact", "input_tokens"])
async def test_what_stands_in_an_ids_place_and_is_not_served_says_so(kept, path):
    client, keeper = await kept()
    seen = await client.post(f"{PATH}/{path}", {"model": "m", "input": "Who?"})
    assert (seen.status, keeper.asked) == (404, [])
    assert f"POST {PATH}/{path} is not served." in seen.json["error"]["message"]
    assert (await client.post(f"{PATH}/resp_1", {})).status == 405


async def test_who_keeps_nothing_makes_no_owner_and_looks_none_up(kept, served):
    _, keeper = await kept()
    asked = []

    class Watched:
        async def add(self, *told):
            asked.append(told)

    made = gateway(Settings(upstream_url=keeper.url, api_key="sk-acme", semantic="off"))
    parts = replace(made, models=replace(made.models, owners=Lazy(Watched)))
    client = await served(Settings(api_key="sk-acme"), gateway=parts)
    for form in (False, True):
        assert (await ask(client, store=False, stream=form)).status == 200
    assert asked == []
    await ask(client, stream=True)
    assert asked == [("local:default", ["resp_eu2"], "m"), ("local:default", ["msg_eu2"], "m")]


async def test_a_store_that_is_away_shuts_objects_and_leaves_answers_alone(kept, served):
    _, keeper = await kept()

    class Away:
        async def add(self, *_):
            raise ConnectionError

        places = drop = add

    made = gateway(Settings(upstream_url=keeper.url, api_key="sk-acme", semantic="off"))
    client = await served(
        Settings(api_key="sk-acme"), gateway=replace(made, models=replace(made.models, owners=Lazy(Away)))
    )
    assert (await ask(client)).status == 200
    assert (await client.send("GET", f"{PATH}/resp_eu1")).status == 503
    assert (await ask(client, previous_response_id="resp_eu1")).status == 503
    assert (await ask(client, store=False)).status == 200
    assert len(keeper.bodies) == 2


async def test_with_a_catalogue_the_server_that_made_it_is_asked(served):
    async with running(Keeper("eu")) as one, running(Keeper("us")) as other:
        models = [{"name": name, "tier": "fast", "upstream": name} for name in ("eu", "us")]
        servers = {keeper.name: {"url": keeper.url} for keeper in (one, other)}
        text = json.dumps({"upstreams": servers, "models": models})
        chosen = Settings(catalogue=text, api_key="sk-acme", semantic="off")
        client = await served(chosen, gateway=gateway(chosen))
        made = (await client.post(PATH, {"model": "us", "input": "Who?"})).json["id"]
        assert (await client.send("GET", f"{PATH}/{made}")).json["of"] == "us"
        more = await client.post(PATH, {"model": "auto", "input": "Go on.", "previous_response_id": made})
        assert more.json["output"][0]["content"][0]["text"] == "From us."
        assert one.asked == []


async def test_an_answer_from_the_cache_makes_no_owner(kept, served):
    _, keeper = await kept()
    asked = []

    class Watched:
        async def add(self, *told):
            asked.append(told)

    chosen = Settings(upstream_url=keeper.url, api_key="sk-acme", semantic="off", responses_state="ignore")
    made = gateway(chosen)
    client = await served(chosen, gateway=replace(made, models=replace(made.models, owners=Lazy(Watched))))
    seen = [await ask(client) for _ in range(2)]
    assert [one.status for one in seen] == [200, 200]
    assert asked == [("local:default", ["resp_eu1", "msg_eu1"], "m")]
