"""`subsecond cache explain | feedback | invalidate` against a gateway on a socket."""

import argparse
import asyncio
import json
from dataclasses import replace

import pytest

from subsecond_local.cli import cache_control
from subsecond_local.errors import LocalError

ASKED, PARAPHRASE = "How do I reset my password?", "How can I reset the password?"
ACTIONS = {
    "explain": (cache_control.add_explain, cache_control.explain),
    "feedback": (cache_control.add_feedback, cache_control.feedback),
    "invalidate": (cache_control.add_invalidate, cache_control.invalidate),
}


@pytest.fixture
async def client(served, settings):
    return await served(replace(settings, semantic="threshold", similarity=0.8))


@pytest.fixture
def command(client, tmp_path, capsys):
    """`await command("explain", "--entry", KEY)` is what it prints."""

    async def run(action, *words):
        add, do = ACTIONS[action]
        parser = argparse.ArgumentParser()
        add(parser)
        parser.add_argument("--stack-name")
        parser.add_argument("--json", action="store_true")
        options = parser.parse_args([*words, "--url", f"{client.base}/v1"])
        assert await asyncio.to_thread(do, options, tmp_path, {"SUBSECOND_API_KEY": client.key}) == 0
        return capsys.readouterr().out

    return run


async def test_a_hit_is_explained_reported_and_invalidated(client, command, tmp_path):
    await client.chat(ASKED)
    hit = await client.chat(PARAPHRASE)
    explained = json.loads(await command("explain", "--request-id", hit.headers["x-request-id"], "--json"))
    key = explained["entry"]["entry"]
    assert explained["judged"][0]["says"] == "hit"
    judged = json.loads(await command("explain", "--entry", key, "--question", PARAPHRASE, "--json"))
    assert judged["verdict"]["says"] == "hit"
    said = await command("feedback", "wrong", "--request-id", hit.headers["x-request-id"])
    assert "answers that question no more" in said
    again = json.loads(await command("feedback", "wrong", "--entry", key, "--question", PARAPHRASE, "--json"))
    assert again["changed"] is False
    assert "may answer that question again" in await command(
        "feedback", "right", "--entry", key, "--question", PARAPHRASE
    )
    body = tmp_path / "body.json"
    body.write_text(
        json.dumps({"model": "sim-t0-i0-n8", "messages": [{"role": "user", "content": ASKED}]}), encoding="utf-8"
    )
    assert json.loads(await command("explain", "--body", str(body), "--json"))["source"] == "exact"
    assert "about 1 answers" in await command("invalidate", "namespace", "--dry-run")
    assert json.loads(await command("explain", "--body", str(body), "--json"))["source"] == "exact"
    assert "for 0 answers" in await command("invalidate", "entry", key, "--older-than", "12h")
    assert "None known. Nothing was changed." in await command("invalidate", "tag", "none", "--dry-run")
    assert "at least 1 answers" in await command("invalidate", "model", "sim-t0-i0-n8", "--dry-run")
    assert "none known" in await command("invalidate", "tag", "none")
    assert "for 1 answers" in await command("invalidate", "entry", key)
    assert json.loads(await command("explain", "--body", str(body), "--json"))["source"] == "upstream"


async def test_an_explanation_is_told_to_people(client, command, tmp_path):
    async def of_body(text, **fields):
        body = {"model": "sim-t0-i0-n8", "messages": [{"role": "user", "content": text}], **fields}
        path = tmp_path / "body.json"
        path.write_text(json.dumps(body), encoding="utf-8")
        return await command("explain", "--body", str(path))

    await client.chat(ASKED, max_tokens=3)
    cut = (await of_body(PARAPHRASE, max_tokens=3)).splitlines()
    assert cut[0] == "Nothing that is stored would answer it: the model would be asked."
    assert cut[2].startswith("  because  a similar question is stored, and its answer was cut")
    await client.chat(ASKED)
    hit = await client.chat(PARAPHRASE)
    key = hit.headers["cache-status"].partition('key="')[2].partition('"')[0]
    similar = await of_body("How can I reset a password?")
    assert "a similar question would answer" in similar
    assert ASKED in similar
    far = await of_body("Why is the sky blue?")
    assert f"    {ASKED}\n    stored '{ASKED}', asked 'Why is the sky blue?'\n    entry {key}" in far
    said = await command("explain", "--request-id", hit.headers["x-request-id"])
    assert said.startswith("A similar question's answer, at 20")
    assert f"  question        {ASKED}" in said
    verdict = await command("explain", "--entry", key, "--question", "How do I reset my phone?")
    assert "  where they part  stored 'password?', asked 'phone?'" in verdict
    assert "{" not in "".join((*cut, similar, far, said, verdict))


async def test_what_the_gateway_refuses_is_said_in_its_words(command):
    with pytest.raises(LocalError, match="No such entry"):
        await command("explain", "--entry", "ab" * 32)
    with pytest.raises(LocalError, match="is no tag"):
        await command("invalidate", "tag", "a b")
    with pytest.raises(LocalError, match="wants --question"):
        await command("feedback", "wrong", "--entry", "ab" * 32)
    with pytest.raises(LocalError, match="is not a duration"):
        await command("invalidate", "namespace", "--older-than", "yesterday")
    with pytest.raises(LocalError, match="no JSON file"):
        await command("explain", "--body", "/nowhere.json")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7_200), ("7d", 604_800)])
def test_times_are_read(text, seconds):
    assert cache_control.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1.5h", "5", "-1h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(LocalError):
        cache_control.seconds(text)
