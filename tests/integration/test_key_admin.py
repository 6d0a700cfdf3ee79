"""API keys in the state table, as the command line makes them and the gateway reads them."""

import json
from hashlib import sha256

import boto3
import pytest

from subsecond.aws.client import Aws
from subsecond.config import Settings
from subsecond.stores.dynamodb.keys import DynamoKeys
from subsecond_local.cli import main as cli
from subsecond_local.cli.key_admin import KeyTable
from subsecond_local.errors import LocalError

pytestmark = pytest.mark.usefixtures("aws_tables")


@pytest.fixture
def table(aws_tables):
    return KeyTable(boto3.client("dynamodb"), "subsecond-state")


async def whose(token):
    """What a gateway that has never seen the key makes of it."""
    return await DynamoKeys(Aws(Settings()), "subsecond-state", ttl=30.0).tenant(sha256(token.encode()).hexdigest())


async def test_a_created_key_is_the_gateways_tenant_until_it_is_revoked(table):
    token, key = table.create("laptop", "acme", "prod")
    tenant = await whose(token)
    assert (tenant.id, tenant.namespace, tenant.key) == ("acme", "prod", "laptop")
    assert token.startswith(key.prefix)
    revoked = table.revoke("laptop")
    assert revoked.disabled
    assert await whose(token) is None


def test_the_key_itself_is_nowhere_in_the_table(table):
    token, _ = table.create("laptop", "acme", "prod")
    items = boto3.client("dynamodb").scan(TableName="subsecond-state")["Items"]
    assert len(items) == 1
    assert token not in str(items)
    assert token[10:] not in str(items)


def test_a_revoked_key_stays_in_the_list_and_frees_its_name(table):
    table.create("laptop", "acme", "prod")
    table.revoke("laptop")
    table.create("laptop", "acme", "prod")
    assert sorted(key.disabled for key in table.list()) == [False, True]


def test_two_active_keys_of_one_name_are_refused(table):
    table.create("laptop", "acme", "prod")
    with pytest.raises(LocalError, match="already"):
        table.create("laptop", "other", "prod")


@pytest.mark.parametrize("part", [lambda token: token[:10], lambda token: token])
def test_a_key_can_be_revoked_by_its_beginning_or_whole(table, part):
    token, _ = table.create("laptop", "acme", "prod")
    table.create("server", "acme", "prod")
    assert table.revoke(part(token)).name == "laptop"
    assert [key.name for key in table.list() if not key.disabled] == ["server"]


def test_a_beginning_that_fits_several_keys_revokes_none(table):
    table.create("laptop", "acme", "prod")
    table.create("server", "acme", "prod")
    with pytest.raises(LocalError, match="several"):
        table.revoke("sk-ss-")
    with pytest.raises(LocalError, match="laptop, server"):
        table.revoke("tablet")
    assert not any(key.disabled for key in table.list())


async def test_a_replaced_key_is_the_only_one_of_its_name(table):
    table.replace("first-key", "make-run", "local", "default")
    table.replace("second-key", "make-run", "local", "default")
    assert await whose("first-key") is None
    assert (await whose("second-key")).id == "local"
    assert table.is_revoked("first-key")
    table.replace("first-key", "make-run", "local", "default")
    assert (await whose("first-key")).key == "make-run"
    assert table.is_revoked("second-key")


def test_replacing_a_key_by_itself_changes_nothing(table):
    first = table.replace("first-key", "make-run", "local", "default")
    table.replace("first-key", "make-run", "local", "default")
    assert [(key.hash, key.created) for key in table.list()] == [(first.hash, first.created)]


def test_the_command_line_creates_lists_and_revokes(monkeypatch, capsys):
    monkeypatch.setenv("SUBSECOND_STATE_TABLE", "subsecond-state")
    assert cli.main(["keys", "create", "laptop", "--tenant", "acme", "--namespace", "prod", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert sha256(made["key"].encode()).hexdigest() not in made.values()
    assert made["key"].startswith("sk-ss-")
    assert (made["tenant"], made["namespace"], made["disabled"]) == ("acme", "prod", False)
    assert cli.main(["keys", "list"]) == 0
    shown = capsys.readouterr().out
    assert made["prefix"] in shown
    assert made["key"] not in shown
    assert cli.main(["keys", "revoke", made["prefix"]]) == 0
    assert "laptop" in capsys.readouterr().out
    assert cli.main(["keys", "list", "--json"]) == 0
    assert [key["disabled"] for key in json.loads(capsys.readouterr().out)] == [True]
    assert cli.main(["keys", "revoke", "laptop"]) == 1
    assert "none" in capsys.readouterr().err


async def test_a_key_has_a_scope_and_clocks_of_its_own(monkeypatch, capsys, table):
    monkeypatch.setenv("SUBSECOND_STATE_TABLE", "subsecond-state")
    assert cli.main(["keys", "create", "chat", "--scope", "user", "--volatile", "clock"]) == 0
    tenant = await whose(capsys.readouterr().out.strip())
    assert (tenant.scope, tenant.volatile) == ("user", "clock")
    plain, _ = table.create("plain", "default", "default")
    assert ((await whose(plain)).scope, (await whose(plain)).volatile) == ("", "")
    assert cli.main(["keys", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[-2] for row in rows] == ["OWN", "scope=user,volatile=clock", "-"]
    with pytest.raises(SystemExit):
        cli.main(["keys", "create", "other", "--scope", "users"])


def test_more_keys_than_one_page_holds_are_all_listed(table):
    dynamodb = boto3.client("dynamodb")
    for at in range(40):
        # 40 items of 40 KB: more than the 1 MB of one page.
        item = {"pk": "keys", "sk": f"{at:064}", "name": f"k{at}", "padding": "x" * 40_000}
        dynamodb.put_item(TableName="subsecond-state", Item={name: {"S": text} for name, text in item.items()})
    assert len(table.list()) == 40
