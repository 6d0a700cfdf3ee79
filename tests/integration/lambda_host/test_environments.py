"""The lives of execution environments under the Lambda host."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute


def state(pid):
    """The process's state letter; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


async def test_two_requests_at_once_have_two_environments(serve, connect, tmp_path, until):
    async with serve("plain.gated", maximum=2) as host:
        clients = [await connect(host) for _ in range(2)]
        for client in clients:
            await client.send("GET", "/")
        await until(lambda: len(list(tmp_path.glob("began-*"))) == 2)
        assert host.environments("fn") == 2
        (tmp_path / "first").touch()
        assert len({await client.head() and await client.body() for client in clients}) == 2


async def test_a_request_past_the_limit_waits_for_an_environment(serve, connect, tmp_path, until):
    async with serve("plain.gated", maximum=1) as host:
        clients = [await connect(host) for _ in range(3)]
        for client in clients:
            await client.send("GET", "/")
        await until(lambda: list(tmp_path.glob("began-*")))
        assert host.environments("fn") == 1
        (tmp_path / "first").touch()
        assert len({await client.head() and await client.body() for client in clients}) == 1


async def test_a_request_past_the_limit_is_throttled_when_there_is_no_queue(serve, connect, tmp_path, until):
    async with serve("plain.gated", maximum=1, queue=False) as host:
        one, two = [await connect(host) for _ in range(2)]
        await one.send("GET", "/")
        await until(lambda: list(tmp_path.glob("began-*")))
        assert await two.ask("GET", "/") == (429, b'{"Message":"Rate Exceeded."}')
        (tmp_path / "first").touch()
        assert await one.head() == 200


@pytest.mark.parametrize("invoked", [False, True], ids=["url", "invoke"])
async def test_what_waits_is_dropped_with_its_client_and_what_runs_goes_on(serve, connect, tmp_path, until, invoked):
    async with serve("plain.counted", maximum=1) as host:
        first, gone, last = [await connect(host) for _ in range(3)]
        await first.send("GET", "/first")
        await until(lambda: list(tmp_path.glob("began-*")))
        if invoked:
            target = "/2015-03-31/functions/fn/invocations"
            await gone.send("POST", target, b'{"rawPath": "/gone"}', authorization=gone.signed)
        else:
            await gone.send("GET", "/gone")
        waiting = host._pools["fn"]._waiting
        await until(lambda: waiting)
        gone.writer.transport.abort()
        await until(waiting[0].done)
        await last.send("GET", "/last")
        (tmp_path / "first").touch()
        assert (await first.head(), await last.head()) == (200, 200)
        assert (tmp_path / "seen").read_text().split() == ["/first", "/last"]


async def test_idle_environments_go_down_to_the_minimum(serve, connect, tmp_path, until):
    async with serve("plain.gated", minimum=1, maximum=3, idle=0.05) as host:
        assert host.environments("fn") == 1
        clients = [await connect(host) for _ in range(3)]
        for client in clients:
            await client.send("GET", "/")
        await until(lambda: len(list(tmp_path.glob("began-*"))) == 3)
        (tmp_path / "first").touch()
        for client in clients:
            assert await client.head() == 200
        await until(lambda: host.environments("fn") == 1)
        assert (await clients[0].ask("GET", "/"))[0] == 200


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_frozen_environment_stands_still_between_requests(stream, connect, until):
    async with stream(freeze=True, maximum=1) as host:
        client = await connect(host)
        _, pid = await client.ask("GET", "/pid")
        for _ in range(3):
            await until(lambda: state(pid.decode()) == "T")
            assert (await client.ask("GET", "/pid"))[1] == pid


async def test_snap_start_hooks_run_before_the_first_request(stream, connect):
    async with stream("snapshot.handler", snap_start=True) as host:
        assert (await (await connect(host)).ask("GET", "/"))[1] == b"imported before after"


async def test_a_snap_start_hook_that_fails_is_a_failed_initialisation(stream, connect):
    async with stream("snapshot.handler", snap_start=True, environment={"FAIL": "1"}) as host:
        assert (await (await connect(host)).ask("GET", "/"))[0] == 502


@pytest.mark.parametrize("layout", ["python", "."])
async def test_the_wrapper_finds_the_code_in_either_layout_of_the_layer(tmp_path, connect, output, wrapper, layout):
    layer = tmp_path / "opt"
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "subsecond").symlink_to(wrapper.parent / "subsecond")
    copy = layer / layout / "stream-runtime"
    shutil.copy(wrapper, copy)
    source = "import subsecond\nfrom subsecond.lambda_runtime.http_stream import HttpStream\n"
    source += "def handler(event, context):\n    return HttpStream(200, {}, chunks=[subsecond.__file__.encode()])\n"
    (tmp_path / "app.py").write_text(source)
    function = Function("fn", tmp_path, mode="RESPONSE_STREAM", wrapper=copy)
    async with LambdaHost([function], [UrlRoute("/", "fn")], output=output) as host:
        _, where = await (await connect(host)).ask("GET", "/")
        assert Path(where.decode()) == layer / "python" / "subsecond" / "__init__.py"


HOST = """
import asyncio, json, sys
from pathlib import Path
from subsecond_local.lambda_host import Function, LambdaHost, UrlRoute
async def main():
    function = Function("fn", Path(sys.argv[1]), "plain.echo", freeze=True, minimum=1)
    async with LambdaHost([function], [UrlRoute("/", "fn")]) as host:
        await host.invoke("fn", {})
        print(json.loads((await host.invoke("fn", {})).payload)["body"], flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_environments_die_with_the_host_even_when_frozen(functions, until):
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOST, str(functions), stdout=asyncio.subprocess.PIPE
    )
    assert host.stdout is not None
    pid = (await host.stdout.readline()).split()[0].decode()
    await until(lambda: state(pid) == "T")
    os.kill(host.pid, signal.SIGKILL)
    await host.wait()
    await until(lambda: state(pid) in (None, "Z"))
    await host.stdout.read()


async def test_a_share_of_a_core_is_what_an_environment_gets_while_it_serves_and_no_more(serve, connect):
    async with serve("plain.busy", maximum=1, core_share=0.25) as host:
        client = await connect(host)
        _, first = await client.ask("GET", "/")
        used, passed = map(float, first.split())
        assert used / passed < 0.4
        # Between requests it runs freely: whatever still waited is not stopped for good.
        _, again = await client.ask("GET", "/")
        assert float(again.split()[0]) == pytest.approx(used, rel=0.5)
