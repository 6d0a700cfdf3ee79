"""`subsecond cache`: the index rebuilt, tidied and checked against a table, and a gateway's figures."""

import asyncio
import json
import time
from dataclasses import replace
from hashlib import sha256

import boto3
import pytest

from subsecond.aws.client import aws_of
from subsecond.config import Settings
from subsecond.model import Entry, Prompt, Recording
from subsecond.semantic.embedders.hashing import HashingEmbedder
from subsecond.semantic.index.reader import Reader
from subsecond.semantic.index.vectors import pack
from subsecond.stores.dynamodb.answers import build as table_of
from subsecond.stores.s3.objects import S3Objects
from subsecond_local.cli import main as cli
from subsecond_local.run import stores

ANSWER = Recording("whole", (b'{"choices":[]}',), "stop", "m")
BUCKET = "subsecond-index"


@pytest.fixture
def aws(aws_tables, monkeypatch):
    """The tables and the bucket, named by the environment as a deployed gateway's are."""
    monkeypatch.setenv("SUBSECOND_STATE_TABLE", "subsecond-state")
    settings = Settings(exact="dynamodb")
    yield settings
    aws_of(settings).close()


def hashed(text):
    return sha256(text.encode()).hexdigest()


def store(settings, *texts, partition="acme:prod"):
    """Answers in the table, as a gateway with the hashing embedder stores them."""
    embedder, table, now = HashingEmbedder(), table_of(settings), time.time()

    async def put():
        for text, vector in zip(texts, await embedder.embed(texts), strict=True):
            prompt = Prompt(hashed(text), hashed("scope"), text)
            entry = Entry(partition, prompt, ANSWER, now, now + 600)
            await table.put(replace(entry, vector=pack(vector), embedder=embedder.id))

    asyncio.run(put())


def found(settings, text, partition="acme:prod", embedder=HashingEmbedder.id):
    """What a fresh gateway's index gives for it."""

    async def search():
        reader = Reader(S3Objects(aws_of(settings), BUCKET), embedder, 256)
        await reader.refresh(partition)
        (vector,) = await HashingEmbedder().embed([text])
        return [one.key for one in reader.search(partition, hashed("scope"), vector)]

    return asyncio.run(search())


def said(capsys, *argv):
    code = cli.main(["cache", *argv])
    shown = capsys.readouterr()
    assert not shown.err
    return code, shown.out


def told(capsys, *argv):
    code, out = said(capsys, *argv, "--json")
    return code, json.loads(out)["places"]


def test_an_index_that_was_lost_is_rebuilt_from_the_table(aws, capsys):
    store(aws, "one", "two")
    store(aws, "three", partition="other:prod")
    code, places = told(capsys, "verify")
    assert code == 1
    assert {(one["tenant"], one["missing"]) for one in places} == {("acme", 2), ("other", 1)}
    code, places = told(capsys, "rebuild")
    assert code == 0
    assert {(one["tenant"], one["namespace"], one["rows"], one["segments"]) for one in places} == {
        ("acme", "prod", 2, 1),
        ("other", "prod", 1, 1),
    }
    assert found(aws, "two") == [hashed("two")]
    assert found(aws, "three", "other:prod") == [hashed("three")]
    code, places = told(capsys, "verify")
    assert code == 0
    assert [one["is_right"] for one in places] == [True, True]


def test_one_namespace_alone_is_rebuilt(aws, capsys):
    store(aws, "one")
    store(aws, "two", partition="acme:test")
    store(aws, "three", partition="other:test")
    _, places = told(capsys, "rebuild", "--namespace", "test")
    assert [(one["tenant"], one["namespace"]) for one in places] == [("acme", "test"), ("other", "test")]
    _, places = told(capsys, "rebuild", "--namespace", "test", "--tenant", "acme")
    assert [(one["tenant"], one["namespace"]) for one in places] == [("acme", "test")]
    assert found(aws, "one") == []
    assert found(aws, "two", "acme:test") == [hashed("two")]


def test_a_damaged_segment_is_found_and_compacting_mends_it(aws, capsys):
    store(aws, "one", "two")
    told(capsys, "rebuild")
    s3 = boto3.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="index/")["Contents"]
    (name,) = [one["Key"] for one in listed if one["Key"].endswith(".npy") and ".ids." not in one["Key"]]
    body = bytearray(s3.get_object(Bucket=BUCKET, Key=name)["Body"].read())
    body[-1] ^= 1
    s3.put_object(Bucket=BUCKET, Key=name, Body=bytes(body))
    code, out = said(capsys, "verify")
    assert code == 1
    assert "WRONG" in out
    # Whoever meets it leaves a note, and the compaction looks at what was noted.
    assert found(aws, "one") == []
    code, (place,) = told(capsys, "compact")
    assert (code, place["bad"]) == (0, 1)
    assert found(aws, "one") == [hashed("one")]
    assert said(capsys, "verify")[0] == 0


def test_another_embedder_gives_every_entry_a_new_vector(aws, capsys):
    store(aws, "How do I reset my password?")
    told(capsys, "rebuild")
    _, places = told(capsys, "rebuild", "--embedder", "static")
    rows = {one["embedder"]: one["rows"] for one in places}
    assert rows == {"hashing-256-r1": 0, "static-minilm-256-r1": 1}
    assert found(aws, "How do I reset my password?") == []
    assert said(capsys, "verify")[0] == 0


def test_people_read_columns(aws, capsys):
    code, out = said(capsys, "rebuild")
    assert (code, "There is no index yet" in out) == (0, True)
    store(aws, "one", "two")
    assert "acme:prod  hashing-256-r1" in said(capsys, "rebuild")[1]
    assert "1 -> 1" in said(capsys, "compact")[1]
    assert "right" in said(capsys, "verify")[1]


def test_a_bucket_that_is_not_there_says_so(aws, capsys, monkeypatch):
    monkeypatch.setenv("SUBSECOND_BUCKET", "none")
    assert cli.main(["cache", "compact"]) == 1
    assert "The bucket none at AWS cannot be used: NoSuchBucket." in capsys.readouterr().err


async def called(*argv):
    """The command beside a server in this loop."""
    return await asyncio.to_thread(cli.main, ["cache", *argv])


async def test_the_figures_of_a_gateway(served, settings, capsys, monkeypatch):
    client = await served()
    await client.chat()
    await client.chat()
    monkeypatch.setenv("SUBSECOND_API_KEY", settings.api_key)
    assert await called("stats", "--url", f"{client.base}/v1") == 0
    out = capsys.readouterr().out
    assert "hit_rate" in out
    assert "50.0 %" in out
    assert "exact total" in out
    assert await called("stats", "--url", client.base, "--json") == 0
    assert json.loads(capsys.readouterr().out)["hits"]["exact"] == 1


async def test_the_running_gateway_is_found_with_its_kept_key(served, settings, capsys, monkeypatch, tmp_path):
    client = await served()
    stores.note_run(tmp_path, stores.stores_from_env({}, "http://127.0.0.1:1", emulated=True), f"{client.base}/v1")
    monkeypatch.setenv("SUBSECOND_DATA", str(tmp_path))
    assert await called("stats") == 1
    assert "no key" in capsys.readouterr().err
    (tmp_path / "api_key").write_text(f"{settings.api_key}\n")
    assert await called("stats") == 0
    assert "requests" in capsys.readouterr().out
    (tmp_path / "api_key").write_text("sk-other\n")
    assert await called("stats") == 1
    assert "says 401" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        ((), "make run"),
        (("--url", "file:///etc/passwd"), "not a gateway's URL"),
        (("--url", "http://127.0.0.1:1"), "be reached"),
    ],
)
def test_a_gateway_that_cannot_be_asked_says_why(argv, word, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SUBSECOND_DATA", str(tmp_path))
    monkeypatch.setenv("SUBSECOND_API_KEY", "k")
    assert cli.main(["cache", "stats", *argv]) == 1
    assert word in capsys.readouterr().err
