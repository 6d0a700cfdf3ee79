"""`subsecond demo [--seconds N]`."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import subsecond_local
from subsecond_local.demo.script import MODEL
from subsecond_local.demo.traffic import GONE, Traffic
from subsecond_local.run import runner
from subsecond_local.run.ports import HOST
from subsecond_local.run.runner import Served

CATALOGUE = Path(subsecond_local.__file__).parent / "catalogues/demo.json"
SECONDS = 30.0
NEXT = """
{told}.

The page: {url}/        its key: {key}

Ask it yourself; the second time it is a repeat:

    export SUBSECOND_API_KEY={key}
    curl -iN {url}/v1/chat/completions \\
      -H "Authorization: Bearer $SUBSECOND_API_KEY" -H 'Content-Type: application/json' \\
      -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Do you sell bread?"}}]}}'

or from Python (pip install openai):

    from openai import OpenAI
    client = OpenAI(base_url="{url}/v1", api_key="{key}")
    asked = [{{"role": "user", "content": "Do you sell bread?"}}]
    print(client.chat.completions.create(model="{model}", messages=asked).choices[0].message.content)

With a model of yours: OPENAI_API_KEY=sk-... subsecond run        Ctrl-C ends the demo."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="the gateway with a simulated model and half a minute of traffic",
        description="Everything in memory, a simulated model, and traffic for the page to show. It leaves nothing "
        "behind. The environment sets PORT (8000) and every SUBSECOND_ setting.",
    )
    demo.add_argument("--seconds", type=float, default=SECONDS, help="of traffic (default: %(default)s)")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Until Ctrl-C. LocalError as `subsecond run`."""

    def play(served: Served) -> None:
        # A daemon: the main thread watches the children and the signals.
        threading.Thread(target=_play, args=(served, options.seconds), daemon=True).start()

    ours = {"UPSTREAM": "simulator", "STORES": "memory", "MODE": "app"}
    chosen = {"SUBSECOND_CATALOGUE": f"file:{CATALOGUE}", **environ, **ours}
    with TemporaryDirectory(prefix="subsecond-demo-") as folder:
        return runner.run(chosen, options.data or Path(folder), then=play)


def _play(served: Served, seconds: float) -> None:
    traffic = Traffic(served.port, served.key, seconds, _say)
    with suppress(*GONE):
        traffic.play()
        told = ", ".join(f"{count} by {who}" for who, count in traffic.told.most_common())
        _say(NEXT.format(told=told, url=f"http://{HOST}:{served.port}", key=served.key, model=MODEL))


def _say(text: str) -> None:
    print(text, flush=True)
