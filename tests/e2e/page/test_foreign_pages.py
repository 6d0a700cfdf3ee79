"""A page of somebody else's in a real browser, with a running stack on the same machine: it can change nothing of it.

It knows every port, as no page does, and tries on each what browsers let a page try without asking, and with asking.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import boto3
import pytest

from subsecond_local.emulator.aws_emulator import access

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
PUT = {"pk": {"S": "evil"}, "sk": {"S": "evil"}}
# `tried(port)`: what became of each attempt: a text that the page could read, or null where it could read nothing.
ATTEMPTS = """
async (port, table, where) => {
  const base = `http://${where}:${port}`
  const item = JSON.stringify({TableName: table, Item: PUT})
  const wipe = JSON.stringify({TableName: table})
  const invoke = "/2015-03-31/functions/indexer/invocations"
  const targets = (name) => ({"x-amz-target": `DynamoDB_20120810.${name}`, "content-type": "application/json"})
  const read = async (path, options) => {
    try {
      return await (await fetch(base + path, {...options, signal: AbortSignal.timeout(5000)})).text() || null
    } catch { return null }
  }
  const post = (path, body, more) => read(path, {method: "POST", body, ...more})
  const plain = {mode: "no-cors", headers: {"content-type": "text/plain"}}
  const paths = ["/", "/_ministack/reset", "/_subsecond/save", "/stats/reset", invoke, "/v1/chat/completions",
    "/2018-06-01/runtime/init/error", "/_ministack/config"]
  const seen = []
  for (const [name, body] of [["PutItem", item], ["DeleteTable", wipe]])
    seen.push(await post("/", body, {headers: targets(name)}))
  seen.push(await read("/_ministack/reset", {method: "DELETE"}))
  for (const path of paths) {
    seen.push(await post(path, item, plain), await post(path, item))
    await new Promise((done) => {
      const frame = document.createElement("iframe")
      frame.name = `sink-${path}`
      document.body.append(frame)
      const form = Object.assign(document.createElement("form"),
        {method: "post", action: base + path, enctype: "text/plain", target: frame.name})
      form.append(Object.assign(document.createElement("input"), {name: item, value: ""}))
      document.body.append(form)
      frame.onload = done
      setTimeout(done, 1000)
      form.submit()
    })
  }
  for (const path of ["/2018-06-01/runtime/invocation/next", "/_ministack/health", "/stats", "/v1/models", "/health"]) {
    seen.push(await read(path, {}), await read(path, {mode: "no-cors"}))
    await new Promise((done) => {
      const picture = new Image()
      picture.onload = picture.onerror = done
      setTimeout(done, 1000)
      picture.src = base + path
    })
  }
  return seen
}
""".replace("PUT", json.dumps(PUT))


@asynccontextmanager
async def foreign():
    """A server of an empty page; gives its port."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<body>"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def stores_of(it):
    """The stand-in's state, as a program of this machine sees it."""
    noted = json.loads((it.data / "run.json").read_text())["stores"]
    told = access(int(noted["endpoint"].rpartition(":")[2]))
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=told["AWS_ENDPOINT_URL"],
        region_name=told["AWS_REGION"],
        aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
    )
    found = dynamodb.get_item(TableName=noted["state_table"], Key=PUT).get("Item")
    return noted["state_table"], sorted(dynamodb.list_tables()["TableNames"]), found


# To the browser a page of the same address is of the same site, and one of another name may be led here.
@pytest.mark.parametrize(
    ("mode", "host"), [("lambda", "localhost"), ("app", "127.0.0.1"), ("lambda", "rebound.example")]
)
async def test_a_foreign_page_changes_nothing_at_any_port(page, stack, mode, host):
    with stack(MODE=mode) as it:
        assert (await asyncio.to_thread(it.chat))[0] == 200
        table, tables, _ = await asyncio.to_thread(stores_of, it)
        ports = it.listening()
        assert len(ports) > 2
        async with foreign() as port:
            await page.open(f"http://{host}:{port}/")
            tried = ",".join(f"({ATTEMPTS})({other}, {json.dumps(table)}, '127.0.0.1')" for other in ports)
            seen = await page.run(f"Promise.all([{tried}])")
            assert [set(of_port) for of_port in seen] == [{None}] * len(ports)
        assert await asyncio.to_thread(stores_of, it) == (table, tables, None)
        # Every environment still waits for its events.
        assert set(ports) <= set(it.listening())
        status, cached = await asyncio.to_thread(it.chat)
        assert (status, "hit" in cached) == (200, True)
        assert (await asyncio.to_thread(it.chat, "Another one?"))[0] == 200


async def test_a_name_that_leads_here_opens_nothing(page, stack):
    """DNS rebinding: the page's own name leads to this machine, so that for the browser all is of one origin."""
    with stack() as it:
        assert (await asyncio.to_thread(it.chat))[0] == 200
        table, tables, _ = await asyncio.to_thread(stores_of, it)
        for port in set(it.listening()) - {it.port}:
            await page.open(f"http://rebound.example:{port}/health")
            seen = await page.run(f"({ATTEMPTS})({port}, {json.dumps(table)}, 'rebound.example')")
            # It may read what it is refused with.
            assert {json.loads(text)["error"]["code"] for text in seen if text} == {"refused_here"}
        assert await asyncio.to_thread(stores_of, it) == (table, tables, None)
        assert (await asyncio.to_thread(it.chat))[0] == 200
