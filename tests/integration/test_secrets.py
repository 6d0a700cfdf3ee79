"""The upstream's key in its store: read once, believed for a while, read again."""

import asyncio
import json

import boto3
import pytest
from moto import mock_aws

from subsecond.aws import secrets
from subsecond.aws.secret_stores import parameters, secrets_manager
from subsecond.errors import Unavailable


@pytest.fixture
def stores(monkeypatch):
    """Secrets Manager and Systems Manager, as a new environment finds them."""
    with mock_aws():
        yield boto3.client("secretsmanager"), boto3.client("ssm")
    secrets._known.clear()
    secrets_manager.cache_clear()
    parameters.cache_clear()


@pytest.fixture
def calls(stores):
    """The names of the API calls made from here on by the module's own clients."""
    made = []
    for provider in (secrets_manager(), parameters()):
        provider.client.meta.events.register("before-call.*", lambda model, **_: made.append(model.name))
    return made


async def test_a_secret_is_read_once_and_believed(stores, calls):
    stores[0].create_secret(Name="upstream", SecretString="sk-1\n")
    assert [await secrets.secret("secretsmanager:upstream", 60) for _ in range(3)] == ["sk-1"] * 3
    assert calls == ["GetSecretValue"]


async def test_callers_at_once_share_one_read(stores, calls):
    stores[0].create_secret(Name="upstream", SecretString="sk-1")
    found = await asyncio.gather(*(secrets.secret("secretsmanager:upstream", 60) for _ in range(8)))
    assert set(found) == {"sk-1"}
    assert calls == ["GetSecretValue"]


async def test_a_parameter_is_decrypted(stores):
    stores[1].put_parameter(Name="/subsecond/key", Value="sk-2", Type="SecureString")
    assert await secrets.secret("ssm:/subsecond/key", 60) == "sk-2"


async def test_an_arn_names_a_secret_too(stores):
    arn = stores[0].create_secret(Name="upstream", SecretString="sk-1")["ARN"]
    assert await secrets.secret(f"secretsmanager:{arn}", 60) == "sk-1"


async def test_a_field_of_a_json_secret(stores):
    stores[0].create_secret(Name="upstream", SecretString=json.dumps({"openai": "sk-3", "port": 1}))
    assert await secrets.secret("secretsmanager:upstream#openai", 60) == "sk-3"
    for missing in ("anthropic", "port"):
        with pytest.raises(Unavailable):
            await secrets.secret(f"secretsmanager:upstream#{missing}", 60)


async def test_a_rotated_secret_is_seen_when_the_old_one_is_too_old_or_forgotten(stores):
    manager = stores[0]
    manager.create_secret(Name="upstream", SecretString="sk-1")
    await secrets.secret("secretsmanager:upstream", 0)
    manager.put_secret_value(SecretId="upstream", SecretString="sk-2")
    assert await secrets.secret("secretsmanager:upstream", 60) == "sk-2"
    manager.put_secret_value(SecretId="upstream", SecretString="sk-3")
    assert await secrets.secret("secretsmanager:upstream", 60) == "sk-2"
    secrets.forget("secretsmanager:upstream")
    assert await secrets.secret("secretsmanager:upstream", 60) == "sk-3"


async def test_a_store_that_fails_leaves_the_last_secret_in_use_and_is_not_asked_by_every_request(stores, calls):
    manager = stores[0]
    manager.create_secret(Name="upstream", SecretString="sk-1")
    await secrets.secret("secretsmanager:upstream", 0)
    manager.delete_secret(SecretId="upstream", ForceDeleteWithoutRecovery=True)
    assert [await secrets.secret("secretsmanager:upstream", 60) for _ in range(3)] == ["sk-1"] * 3
    assert calls == ["GetSecretValue"] * 2
    assert secrets._known["secretsmanager:upstream"][2] == secrets.RETRY


async def test_what_was_never_read_is_unavailable_and_the_log_says_why(stores, caplog):
    with pytest.raises(Unavailable, match="key cannot be read"):
        await secrets.secret("secretsmanager:nothing", 60)
    assert "secretsmanager:nothing" in caplog.text
    assert "ResourceNotFoundException" in caplog.text


async def test_neither_a_secret_nor_what_surrounds_it_is_logged(stores, caplog):
    stores[0].create_secret(Name="upstream", SecretString="sk-secret")
    with pytest.raises(Unavailable):
        await secrets.secret("secretsmanager:upstream#field", 60)
    assert "sk-secret" not in caplog.text


@pytest.mark.parametrize("reference", ["", "upstream", "s3:upstream", "secretsmanager:", "secretsmanager:#field"])
async def test_what_is_no_reference_is_refused(reference):
    with pytest.raises(ValueError, match="is not like"):
        await secrets.secret(reference, 60)
