"""A deployed stack: what its template says of itself, and the stores that are its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from subsecond_local.errors import LocalError
from subsecond_local.run.stores import Stores, stores_of_run


def outputs(name: str) -> dict[str, str]:
    """The stack's outputs, in the region and with the credentials that boto3 finds. LocalError where there is none."""
    import boto3  # noqa: PLC0415 (0.3 s that `--help` need not wait for)
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        cloudformation: Any = boto3.client("cloudformation")
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise LocalError(
            f"The stack {name} cannot be read: {error}\nCheck its name, the region (AWS_REGION) and the credentials."
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
