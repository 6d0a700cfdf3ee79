"""An answer stored in one environment answers a paraphrase in another: `subsecond run` and the `openai` client."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import openai
import pytest
from openai import OpenAI

from subsecond_local.cli import main as cli
from tests.support.processes import UNHURRIED

READY = re.compile(r"Subsecond is ready: (\S+)  key: (\S+)  ")
# Far above what anything here takes: only a hang gets there.
PATIENCE = 60.0
ASKED, PARAPHRASE = "How do I reset my password?", "How can I reset the password?"
MODEL = "sim-t0-i0-n8"
# It begins and never ends: its environment is taken as long as the client listens.
ENDLESS = "sim-t0-i0-n24-fstall4"


@contextmanager
def running(data, **environ):
    """A run's base URL and key; it has ended well with the block."""
    environ = {**UNHURRIED, "PORT": "0", "UPSTREAM": "simulator", **environ}
    command = (sys.executable, "-m", "subsecond_local.cli.main", "--data", str(data), "run")
    with subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            begun = READY.match(child.stdout.readline())
            assert begun, child.communicate(timeout=PATIENCE)[1]
            yield begun.groups()
            child.send_signal(signal.SIGTERM)
            _, said = child.communicate(timeout=PATIENCE)
            assert (child.returncode, "killed" in said) == (0, False), said
        finally:
            child.kill()


@pytest.fixture
def client():
    """`client(base_url, key)`: the openai client of one user."""
    made = []

    def make(base_url, key):
        made.append(OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=PATIENCE))
        return made[-1]

    yield make
    for one in made:
        one.close()


def chat(client, text=ASKED, **fields):
    """Streamed: the cache's word, and the pieces of the answer."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}
    with client.chat.completions.with_raw_response.create(**asked, stream=True).parse() as stream:
        pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
        return stream.response.headers["cache-status"], [piece for piece in pieces if piece]


def cached(client, text=PARAPHRASE, **fields):
    """The same, from the cache alone; None when it is not there. So asking often stores nothing."""
    try:
        return chat(client, text, extra_headers={"cache-control": "only-if-cached"}, **fields)
    except openai.APIStatusError as error:
        if error.code != "not_cached":
            raise
        return None


def found(client):
    """The paraphrase's answer, once it is there."""
    deadline = time.monotonic() + PATIENCE
    while (seen := cached(client)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return seen


def test_a_paraphrase_is_answered_in_another_environment_and_after_a_restart(tmp_path, client, capsys):
    with running(tmp_path) as (base, key):
        user = client(base, key)
        status, answer = chat(user)
        assert "hit" not in status
        assert cli.main(["--data", str(tmp_path), "keys", "create", "else", "--tenant", "else", "--json"]) == 0
        stranger = client(base, json.loads(capsys.readouterr().out)["key"])
        # The environment that has stored it is taken, so another one, started for this, is asked.
        endless = user.chat.completions.create(model=ENDLESS, messages=[{"role": "user", "content": "!"}], stream=True)
        with endless:
            next(iter(endless))
            status, pieces = found(user)
            assert "detail=semantic" in status
            assert pieces == answer
            assert len(pieces) > 1
            turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
            last = {"role": "user", "content": PARAPHRASE}
            assert cached(stranger) is None
            assert cached(user, model=f"{MODEL}-b") is None
            assert cached(user, messages=[{"role": "system", "content": "Be brief."}, last]) is None
            assert cached(user, messages=[*turns, last]) is None
            assert cached(user, temperature=0.5) is None
            assert cached(user) is not None

    # The table is the truth: without index and stream, both of which are gone, the index is made of it.
    shutil.rmtree(next((tmp_path / "s3").glob("*/subsecond-index/index")))
    with running(tmp_path, MODE="app") as (base, key):
        status, pieces = found(client(base, key))
        assert "detail=semantic" in status
        assert pieces == answer


def test_in_memory_one_process_finds_what_it_has_stored(tmp_path, client):
    with running(tmp_path, STORES="memory") as (base, key):
        user = client(base, key)
        _, answer = chat(user)
        status, pieces = chat(user, PARAPHRASE)
        assert "detail=semantic" in status
        assert pieces == answer
    assert not list((tmp_path / "logs").glob("indexer*"))
