"""What a snapshot must not hold, and what an environment does after one was restored. AWS's own side of it cannot be
run here: the hooks are called one after the other, as its runtime client calls them."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from subsecond import bootstrap
from subsecond.aws import secrets
from subsecond.aws.client import aws_of
from subsecond.semantic.index.segments import IndexId, Manifest, encode_manifest, manifest_name
from subsecond.warmup import snapshots
from subsecond.warmup.prewarm import prewarm
from tests.support.simulator import SimulatorProcess

REFERENCE = "ssm:/canary"


@pytest.fixture(scope="module")
def upstream():
    with SimulatorProcess(key="sk-test") as process:
        yield process


@pytest.fixture
async def gateway(settings, upstream):
    chosen = replace(settings, upstream="openai", upstream_url=upstream.base_url, upstream_key="sk-test")
    made = bootstrap.gateway(replace(chosen, semantic="threshold", embedder="hashing"))
    yield made
    await bootstrap.close(made)
    secrets.forget_all()


async def test_a_snapshot_holds_no_connection_and_the_next_call_opens_one(gateway):
    assert (await prewarm(gateway, keyless=True))["failed"] == []
    model = gateway.models.upstream
    connections = model._client._sender._lazy.made._open
    assert len(connections) == 1
    await snapshots.before_snapshot(gateway)
    assert not connections
    assert (await model.fetch("/models", None, None)).status == 200


async def test_the_upstreams_key_is_not_read_before_a_snapshot(settings, upstream):
    # There is no such secret, and no AWS to ask for it: whoever reads it fails.
    chosen = replace(settings, upstream="openai", upstream_url=upstream.base_url, upstream_secret=REFERENCE)
    made = bootstrap.gateway(replace(chosen, semantic="off"))
    assert (await prewarm(made, keyless=True))["failed"] == []
    assert secrets._known == {}
    await bootstrap.close(made)


async def test_secrets_are_asked_for_anew_after_a_restore_and_lie_in_no_snapshot(gateway):
    for hook in (snapshots.before_snapshot, snapshots.after_restore):
        secrets._known[REFERENCE] = ("sk-canary", time.time(), 999.0)
        await hook(gateway)
        assert secrets._known == {}


async def test_environments_of_one_snapshot_draw_different_numbers(gateway):
    random.seed(1)
    alike = random.random()
    random.seed(1)
    await snapshots.after_restore(gateway)
    assert random.random() != alike


async def test_the_manifests_are_looked_at_after_a_restore_however_short_it_was(gateway):
    similar = await gateway.semantic.get()
    index_id = IndexId("acme:prod", similar.embedder.id, similar.embedder.dim)
    await similar.reader._objects.put(manifest_name(index_id.prefix), encode_manifest(Manifest(index_id)))
    assert (await prewarm(gateway, keyless=True))["failed"] == []
    assert similar.reader.figures("acme:prod")["refreshes"] == 1
    await snapshots.after_restore(gateway)
    assert similar.reader.figures("acme:prod")["refreshes"] == 2


async def test_clients_of_aws_go_on_after_hanging_up(settings, aws_tables):
    chosen = replace(settings, keys="dynamodb", exact="layered")
    made = bootstrap.gateway(replace(chosen, semantic="off"))
    assert await made.keys.tenant("0" * 64) is None
    client = aws_of(chosen).dynamodb
    await snapshots.before_snapshot(made)
    assert await made.keys.tenant("1" * 64) is None
    assert aws_of(chosen).dynamodb is client
    aws_of(chosen).close()
    aws_of(made.settings).close()
