"""`subsecond keys create | list | revoke`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from subsecond.setting_values import CHOICES, OF_A_KEY
from subsecond_local.cli.key_admin import Key, KeyTable
from subsecond_local.emulator import aws_emulator
from subsecond_local.run.stack import add_options, chosen_stores
from subsecond_local.run.stores import readable_errors


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        dest="action", required=True
    )
    create = keys.add_parser("create", help="make a key and print it, this once")
    create.add_argument("name", help="what to call it, for `list` and `revoke`")
    create.add_argument(
        "--tenant", default="default", help="whose key it is; tenants share nothing (default: %(default)s)"
    )
    create.add_argument("--namespace", default="default", help="the tenant's cache that it uses (default: %(default)s)")
    for name in OF_A_KEY:
        create.add_argument(
            f"--{name}", choices=CHOICES[name], default="", help=f"in place of SUBSECOND_{name.upper()}"
        )
    listing = keys.add_parser("list", help="show all keys, without the keys themselves")
    revoke = keys.add_parser("revoke", help="disable a key")
    revoke.add_argument("key", metavar="name-or-prefix", help="its name, or how it begins (as `list` shows it)")
    for parser in (create, listing, revoke):
        add_options(parser, "keys of this deployed stack, not of a `make run` here")
        parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, data: Path, environ: Mapping[str, str]) -> int:
    """LocalError when the table cannot be found or used."""
    stores = chosen_stores(options.stack_name, data, environ)
    with readable_errors(stores):
        print(answer(options, KeyTable(stores.dynamodb(), stores.state_table)), flush=True)
    if stores.emulated and stores.endpoint and options.action != "list":
        aws_emulator.save(stores.endpoint)
    return 0


def answer(options: argparse.Namespace, table: KeyTable) -> str:
    """Run the action and print its result."""
    if options.action == "list":
        keys = table.list()
        return json.dumps([public(key) for key in keys], indent=2) if options.json else listed(keys)
    if options.action == "create":
        token, key = table.create(
            options.name, options.tenant, options.namespace, scope=options.scope, volatile=options.volatile
        )
        if options.json:
            return json.dumps({"key": token, **public(key)}, indent=2)
        # On standard error: a script reads the key from standard output.
        print("Keep it: it is stored as a hash and cannot be shown again.", file=sys.stderr)
        return token
    key = table.revoke(options.key)
    if options.json:
        return json.dumps(public(key), indent=2)
    return f"Revoked {key.name} ({key.prefix}...). Gateways that have just seen it may take it for half a minute more."


def public(key: Key) -> dict[str, object]:
    """A key without its hash, which no reader needs."""
    return {name: value for name, value in asdict(key).items() if name != "hash"}


def own(key: Key) -> str:
    """What it has in the place of settings."""
    return ",".join(f"{name}={text}" for name in OF_A_KEY if (text := getattr(key, name))) or "-"


def listed(keys: list[Key]) -> str:
    if not keys:
        return "No keys yet: `subsecond keys create NAME` makes one."
    rows = [("NAME", "TENANT", "NAMESPACE", "BEGINS", "CREATED", "OWN", "STATE")]
    rows += [
        (
            key.name,
            key.tenant,
            key.namespace,
            key.prefix,
            key.created,
            own(key),
            "revoked" if key.disabled else "active",
        )
        for key in keys
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)
