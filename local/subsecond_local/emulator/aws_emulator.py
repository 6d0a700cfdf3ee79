"""ministack, which stands in for DynamoDB and S3 on a laptop, and the tables and the bucket in it."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from signal import SIGTERM
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from subsecond_local.emulator import delays
from subsecond_local.emulator.emulator_persistence import HEALTH, SAVE
from subsecond_local.errors import LocalError
from subsecond_local.run.children import Child
from subsecond_local.run.ports import HOST
from subsecond_local.run.stores import ACCESS_KEY, REGION, Stores

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# After a crash the previous ministack still writes its state for a moment.
LOCK_WAIT = 5.0
# Seconds for a large table.
SAVE_WAIT = 30.0
# As `-m` would run it, for a Python that has ministack and not this project. Its functions must not find it either, so
# that no variable of the environment leads here.
UNINSTALLED = f"""import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from subsecond_local.emulator.emulator_persistence import main
main()"""


def ministack(port: int, data: Path, environ: Mapping[str, str], lock: int, bucket: str = "") -> Child:
    """Its state is written when it stops; `lock` stays held until then. With a bucket it is written once a minute as
    well, and the tables and this bucket are all that is served; without, every service is. Web pages get nothing.
    LocalError where the environment has delays that are none (`delays.py`)."""
    delays.read(environ)
    settings = {
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data / "s3"),
        # At INFO it logs every request: a log without a bound.
        "LOG_LEVEL": "WARNING",
        # On by default, and listening on a port of its own (8883).
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It clears "its" containers away at start and stop, other people's too: there is no Docker for it.
        "DOCKER_HOST": f"unix://{data / 'no-docker'}",
    }
    return Child(
        name="ministack",
        purpose="ministack (stands in for DynamoDB and S3)",
        command=(sys.executable, "-m", "subsecond_local.emulator.emulator_persistence", *filter(None, [bucket])),
        environ={**environ, **settings},
        health=f"http://{HOST}:{port}{HEALTH}",
        stops_within=20.0,
        orphan_signal=SIGTERM,
        keeps=(lock,),
        hint="STORES=memory serves without it.",
    )


def access(port: int) -> dict[str, str]:
    """The environment by which a child reaches ministack, and nothing but ministack."""
    return {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def lock_state(data: Path, wait: float = LOCK_WAIT, say: Callable[[str], object] | None = None) -> int:
    """A descriptor that holds the state for one ministack: two would spoil it. LocalError after `wait` seconds, before
    which `say` is told."""
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline, told = time.monotonic() + wait, False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise LocalError(
                    f"Another run uses the data in {data}. Stop it, or give this one a folder of its own "
                    "(SUBSECOND_DATA=folder make run), or keep everything in memory (STORES=memory make run)."
                ) from None
            if say and not told:
                say(f"Another run uses the data in {data}: waiting whether it ends ...")
                told = True
            time.sleep(0.1)
        else:
            return descriptor


def save(endpoint: str) -> None:
    """Have the stand-in of a run write its tables down. LocalError when it does not."""
    parts = urlsplit(endpoint)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=SAVE_WAIT)
    try:
        connection.request("POST", SAVE)
        connection.getresponse().read()
    except (OSError, HTTPException) as error:
        raise LocalError(f"The change may be lost: the tables cannot be saved ({error}).") from error
    finally:
        connection.close()


def create_stores(stores: Stores) -> None:
    """The two tables and the bucket, where they are missing. Errors of boto3 pass through."""
    dynamodb = stores.dynamodb()
    stream: dict[str, Any] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    create_table(dynamodb, stores.answers_table, ("pk",), "expires", {"StreamSpecification": stream})
    create_table(dynamodb, stores.state_table, ("pk", "sk"), "ttl", {})
    s3 = stores.s3()
    try:
        s3.head_bucket(Bucket=stores.bucket)
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        s3.create_bucket(Bucket=stores.bucket)


def create_table(
    dynamodb: DynamoDBClient, name: str, keys: tuple[str, ...], ttl: str, options: Mapping[str, Any]
) -> None:
    """A table with string keys (partition, then sort), if there is none; its TTL attribute in any case."""
    try:
        dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": "RANGE" if at else "HASH"} for at, key in enumerate(keys)],
            BillingMode="PAY_PER_REQUEST",
            **options,
        )
    except dynamodb.exceptions.ResourceInUseException:
        pass
    else:
        dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    described = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    # Switching on what is on is an error.
    if described.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": ttl})
