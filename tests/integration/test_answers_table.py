"""Answers as items of the table: what they weigh, what is read from damaged and old ones, and many writers at once."""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import boto3
import pytest

from subsecond.aws.client import aws_of
from subsecond.cache.cacheability import COMPARED_TEXT
from subsecond.cache.codec import pack
from subsecond.cache.false_hits import MOST, digest
from subsecond.config import Settings
from subsecond.stores.dynamodb.answers import BATCH, INLINE_LIMIT, build

TABLE, BUCKET, PK = "subsecond-answers", "subsecond-index", "acme:prod#k"
FORMS = ("whole", "stream")
# DynamoDB's, in bytes; and what a request may name at the most.
ITEM_LIMIT = 400 * 1024
TAGS = 10


@pytest.fixture
def configured(aws_tables) -> Iterator[Settings]:
    configured = Settings(exact="dynamodb", store_timeout=5.0)
    yield configured
    aws_of(configured).close()


@pytest.fixture
def store(configured):
    return build(configured)


@pytest.fixture
def table(aws_tables):
    """`table()`: the item under the key `k`; `table(name=value)` sets attributes of it first."""
    client = boto3.client("dynamodb")

    def item(**attributes):
        for name, value in attributes.items():
            client.update_item(
                TableName=TABLE,
                Key={"pk": {"S": PK}},
                UpdateExpression="SET #name = :value",
                ExpressionAttributeNames={"#name": name},
                ExpressionAttributeValues={":value": value},
            )
        return client.get_item(TableName=TABLE, Key={"pk": {"S": PK}})["Item"]

    yield item
    client.close()


@contextmanager
def heard(configured, event, listener):
    events = aws_of(configured).dynamodb.meta.events
    events.register(event, listener, unique_id="heard")
    try:
        yield
    finally:
        events.unregister(event, unique_id="heard")


def weight(value):
    """Bytes as DynamoDB counts them: names and values; numbers by their digits."""
    if isinstance(value, dict):
        return sum(len(name.encode()) + sum(map(weight, kinds.values())) for name, kinds in value.items())
    if isinstance(value, list | set):
        return sum(map(weight, value))
    return len(value) if isinstance(value, bytes) else len(str(value).encode())


async def both(store, entry, body=b"{}", **fields):
    now = time.time()
    for age, form in enumerate(FORMS):
        await store.put(replace(entry(created=now + age, expires=now + 60, body=body, form=form), **fields))


async def test_an_item_has_room_for_both_forms_at_their_limit_and_all_that_an_entry_can_carry(store, table, entry):
    body = random.Random(1).randbytes(INLINE_LIMIT - 250)
    made = entry(created=0, expires=0, body=body)
    assert INLINE_LIMIT - 250 < len(pack(made.recording)) <= INLINE_LIMIT
    await both(
        store,
        entry,
        body,
        # Four bytes for each character, and the largest vector that a provider has.
        prompt=replace(made.prompt, text="\U0002000b" * COMPARED_TEXT),
        vector=bytes(2 * 3072),
        embedder="e" * 100,
        tags=tuple(f"{number:064}" for number in range(TAGS)),
        model="m" * 200,
    )
    for number in range(MOST):
        await store.report("acme:prod", "k", digest("acme:prod", str(number)), wrong=True)
    item = table()
    assert {"whole", "stream", "text", "vector", "whole_tags", "stream_tags", "negatives"} <= item.keys()
    assert not {"whole_s3", "stream_s3"} & item.keys()
    assert weight(item) < ITEM_LIMIT - 4096


async def test_what_is_larger_lies_in_s3_one_object_for_each_form(store, table, entry):
    await both(store, entry, random.Random(1).randbytes(INLINE_LIMIT))
    item = table()
    assert not {"whole", "stream"} & item.keys()
    names = {item[f"{form}_s3"]["S"] for form in FORMS}
    assert len(names) == 2
    assert all(name.startswith("answers/acme:prod/k/") for name in names)
    await store.put(entry(created=time.time() + 9, expires=time.time() + 60))
    item = table()
    assert "whole" in item
    assert "whole_s3" not in item
    assert "stream_s3" in item


async def test_a_form_whose_object_is_gone_is_not_there(store, table, entry):
    await both(store, entry, random.Random(1).randbytes(INLINE_LIMIT))
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=table()["whole_s3"]["S"])
    for read in (store.get, store.fresh):
        assert (await read("acme:prod", "k", "whole")).recording.form == "stream"
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=table()["stream_s3"]["S"])
    for read in (store.get, store.fresh):
        assert await read("acme:prod", "k", "whole") is None


@pytest.mark.parametrize("blob", [b"", b"1\x78\x01", b"2damaged", b"3of tomorrow"])
async def test_a_form_that_cannot_be_read_is_not_there_and_the_next_answer_takes_its_place(store, table, entry, blob):
    await both(store, entry)
    table(whole={"B": blob})
    for read in (store.get, store.fresh):
        assert (await read("acme:prod", "k", "whole")).recording.form == "stream"
    table(stream={"B": blob})
    for read in (store.get, store.fresh):
        assert await read("acme:prod", "k", "stream") is None
    assert await asyncio.gather(*(store.get("acme:prod", "k", form) for form in FORMS)) == [None, None]
    await both(store, entry)
    for form in FORMS:
        assert (await store.get("acme:prod", "k", form)).recording.form == form


@pytest.mark.parametrize("where", [{"answer": {"B": bytes(200_000)}}, {"s3": {"S": "answers/acme:prod/k/1"}}])
async def test_an_item_of_an_older_version_is_a_miss_and_makes_room_for_the_next_answer(store, table, entry, where):
    now = int(time.time())
    dates = {"created": {"N": f"{now}.25"}, "expires": {"N": str(now + 60)}}
    table(scope={"S": "s"}, text={"S": "?"}, tags={"SS": ["old"]}, negatives={"SS": ["d1"]}, **dates, **where)
    for read in (store.get, store.fresh):
        assert await read("acme:prod", "k", "whole") is None
    # Also what was asked for before it: another version's gateway may still be writing.
    for age, form in ((-1, "stream"), (1, "whole")):
        assert await store.put(entry(created=now + age, expires=now + 60, form=form)) == 0
        got = await store.get("acme:prod", "k", form)
        assert (got.recording.form, got.tags, got.false_hits) == (form, (), {"d1"})
        assert not {"answer", "s3", "tags"} & table().keys()


async def test_both_forms_of_many_answers_are_one_call_and_each_item_is_named_once(configured, store, entry):
    await both(store, entry)
    asked = []
    keys = ["k", "none", "k", "other"]
    with heard(configured, "before-call.dynamodb.*", lambda params, **_: asked.append(params["body"])):
        got = await asyncio.gather(*(store.get("acme:prod", key, form) for key in keys for form in FORMS))
    assert [one and one.recording.form for one in got] == [*FORMS, None, None, *FORMS, None, None]
    (body,) = asked
    body = body if isinstance(body, str) else body.decode()
    assert body.count(PK) == 1


async def test_what_a_reply_leaves_out_is_asked_for_again(configured, store, entry):
    now = time.time()
    for number in range(BATCH):
        await store.put(entry(f"k{number}", created=now, expires=now + 60))
    calls = []

    def leave_out(parsed, **_):
        """All but the first 40, as where the reply is full."""
        found = parsed["Responses"][TABLE]
        calls.append(len(found))
        parsed["UnprocessedKeys"] = {TABLE: {"Keys": [{"pk": item["pk"]} for item in found[40:]]}} if found[40:] else {}
        del found[40:]

    with heard(configured, "after-call.dynamodb.BatchGetItem", leave_out):
        got = await asyncio.gather(*(store.get("acme:prod", f"k{number}", "whole") for number in range(BATCH)))
    assert [one.prompt.key for one in got] == [f"k{number}" for number in range(BATCH)]
    assert calls == [100, 60, 20]


async def test_of_many_who_write_at_once_the_newest_of_each_form_stays(emulator, monkeypatch, entry):
    """Over ministack: moto loses updates."""
    for name, value in emulator.items():
        monkeypatch.setenv(name, value)
    configured = Settings(exact="dynamodb", store_timeout=10.0, store_threads=16, answers_table=TABLE)
    store, now = build(configured), float(int(time.time()))
    try:
        for turn in range(6):
            made = [
                entry(f"t{turn}", created=now + age, expires=now + 60 + age, body=b"%d" % age, form=form)
                for form in FORMS
                for age in range(12)
            ]
            random.Random(turn).shuffle(made)
            told = await asyncio.gather(*(store.put(one) for one in made))
            newest = {form: told[made.index(max(of(made, form), key=lambda one: one.created))] for form in FORMS}
            assert None not in newest.values()
            for form in FORMS:
                got = await store.fresh("acme:prod", f"t{turn}", form)
                assert (got.recording.form, got.recording.payloads) == (form, (b"11",))
            # The item's date is the newest of all: only so is it gone when both forms may go.
            assert not await store.drop("acme:prod", f"t{turn}", now + 10.5)
            assert await store.drop("acme:prod", f"t{turn}", now + 11)
    finally:
        aws_of(configured).close()


def of(entries, form):
    return [entry for entry in entries if entry.recording.form == form]
