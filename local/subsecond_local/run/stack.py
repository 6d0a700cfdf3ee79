"""A deployed stack: what its template says of itself, and the stores that are its own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subsecond_local.errors import LocalError
from subsecond_local.run.stores import Stores, stores_of_run


def add_options(parser: argparse.ArgumentParser, what: str) -> None:
    """Which stack a command is for; what: its help."""
    parser.add_argument("--stack-name", help=what)
    parser.add_argument("--region", help="where the stack is (default: as boto3 finds it)")
    parser.add_argument("--profile", help="of the AWS configuration, for credentials and region")


def reach(region: str | None, profile: str | None) -> None:
    """All clients that are made from here on are that region's and have that profile's credentials, before those of the
    environment. LocalError where there is no such profile."""
    if not (region or profile):
        return
    import boto3  # 0.3 s that `--help` need not wait for
    from botocore.exceptions import ProfileNotFound

    try:
        boto3.setup_default_session(region_name=region, profile_name=profile)
    except ProfileNotFound as error:
        raise LocalError(f"{error}. `aws configure list-profiles` shows those that there are.") from None


def outputs(name: str) -> dict[str, str]:
    """The stack's outputs, in the region and with the credentials that boto3 finds. LocalError where there is none."""
    import boto3  # 0.3 s that `--help` need not wait for
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        cloudformation: Any = boto3.client("cloudformation")
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise LocalError(
            f"The stack {name} cannot be read: {error}\nCheck its name, --region and --profile."
        ) from error
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


def chosen_stores(stack_name: str | None, data: Path, environ: Mapping[str, str]) -> Stores:
    """Those of the stack that a command names, else of the running `make run`. LocalError when they cannot be found."""
    return stores_of_stack(stack_name, environ) if stack_name else stores_of_run(data, environ)


def stores_of_stack(name: str, environ: Mapping[str, str]) -> Stores:
    """The stack's tables and bucket. LocalError where it is not a stack of ours, or not finished."""
    found = outputs(name)
    try:
        return Stores(
            endpoint=environ.get("AWS_ENDPOINT_URL") or None,
            emulated=False,
            answers_table=found["AnswersTable"],
            state_table=found["StateTable"],
            bucket=found["Bucket"],
        )
    except KeyError as error:
        raise LocalError(f"The stack {name} has no output {error}: is it a Subsecond, and is it deployed?") from None
