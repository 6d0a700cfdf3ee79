"""One miss that meets no environment, as on AWS: what ran when, and what waited for what.

    python tests/benchmarks/cold_miss.py [docs/operations.md]

The lines are ordered by their beginning. What is noted costs time itself (the modules of the wire and of the transport
are loaded for it), so the whole takes longer than `bench.py` says.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from as_on_aws import DELAYS, function_of
from pages import commit, write
from raw_client import Connection, request
from servers import KEY, PATH, simulator
from stores import emulator

from subsecond_local.cli.key_admin import KeyTable
from subsecond_local.lambda_host import LambdaHost, UrlRoute
from subsecond_local.run.stores import stores_from_env

# The model begins to speak after this long, as a fast one does.
MODEL = "sim-t300-i5-n32"
WIDTH = 72


async def timeline(ours: dict[str, str]) -> list[dict[str, Any]]:
    """What was noted, in milliseconds since the request was sent."""
    stores = stores_from_env(ours, ours["AWS_ENDPOINT_URL"], emulated=True)
    key, _ = KeyTable(stores.dynamodb(), stores.state_table).create("cold-miss", "default", "default")
    function = replace(function_of(ours), runtime="noted")
    with tempfile.TemporaryFile() as output:
        async with LambdaHost([function], [UrlRoute("/", function.name)], output=output) as host:
            port = int(host.url.rpartition(":")[2])
            connection = await Connection.open("127.0.0.1", port)
            body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": f"Cold? {time.time()}"}]}
            sent = time.monotonic()
            sample = await connection.ask(request(port, PATH, key, body), streamed=True)
            connection.close()
            await asyncio.sleep(2)  # what it does after the response
        output.seek(0)
        lines = [json.loads(line) for line in output.read().splitlines() if line.startswith(b'{"noted"')]
    client = [
        {"noted": "CLIENT: to the first token", "from": sent, "to": sent + sample.first},
        {"noted": "CLIENT: to the end", "from": sent, "to": sent + sample.total},
    ]
    found = sorted([*client, *lines], key=lambda one: (one["from"], -one["to"]))
    return [{**one, "from": (one["from"] - sent) * 1000, "to": (one["to"] - sent) * 1000} for one in found]


def drawn(lines: list[dict[str, Any]]) -> str:
    """A bar for each line."""
    whole = max(one["to"] for one in lines)
    names = max(len(one["noted"]) for one in lines)
    rows = [f"{'ms since the request':{names}}  {'from':>5} {'took':>5}  0{f'{whole:.0f}':>{WIDTH - 1}}"]
    for one in lines:
        begins = round(one["from"] / whole * WIDTH)
        length = max(1, round((one["to"] - one["from"]) / whole * WIDTH))
        bar = " " * begins + "#" * length
        rows.append(f"{one['noted']:{names}}  {one['from']:5.0f} {one['to'] - one['from']:5.0f}  {bar}")
    return "\n".join(rows)


def main() -> None:
    with simulator() as upstream, emulator(DELAYS) as tables:
        ours = {"SUBSECOND_UPSTREAM_URL": upstream.base_url, "SUBSECOND_UPSTREAM_KEY": KEY}
        lines = asyncio.run(timeline(ours | tables))
    picture = f"    one cold miss, streamed, at {commit()}\n\n" + "\n".join(
        f"    {line}" for line in drawn(lines).splitlines()
    )
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]), {"one cold miss": picture})
    print(picture)


if __name__ == "__main__":
    main()
