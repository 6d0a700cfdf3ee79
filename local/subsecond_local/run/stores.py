"""Where the tables and the bucket are, how to reach them, and how other commands find those of a running gateway."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subsecond.config import Settings
from subsecond_local.errors import LocalError

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_s3.client import S3Client

REGION = "us-east-1"
RUN_FILE = "run.json"
KEY_FILE = "api_key"
# Of whoever speaks to a stand-in. ministack takes any; the Lambda host takes this one.
ACCESS_KEY = "local"


@dataclass(frozen=True, slots=True)
class Stores:
    """`endpoint` None: AWS itself. `emulated`: a ministack of ours, which takes any credentials."""

    endpoint: str | None
    emulated: bool
    answers_table: str
    state_table: str
    bucket: str

    def dynamodb(self) -> DynamoDBClient:
        import boto3  # 0.3 s that `--help` need not wait for

        client: DynamoDBClient = boto3.client("dynamodb", config=self._config(), **self._access())
        return client

    def streams(self) -> Any:
        """dynamodbstreams; its types would be one more package for three calls."""
        import boto3

        return boto3.client("dynamodbstreams", config=self._config(), **self._access())

    def s3(self) -> S3Client:
        import boto3

        client: S3Client = boto3.client("s3", config=self._config(), **self._access())
        return client

    def _config(self) -> Config:
        from botocore.config import Config

        return Config(
            connect_timeout=5,
            read_timeout=15,
            retries={"total_max_attempts": 3},
            # No proxy between two processes of one machine.
            proxies={} if self.emulated else None,
            # A bucket's name in front of 127.0.0.1 is no host.
            s3={"addressing_style": "path" if self.endpoint else "auto"},
        )

    def _access(self) -> dict[str, Any]:
        if not self.emulated:
            return {"endpoint_url": self.endpoint}
        made_up = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": "local"}  # any will do
        return {"endpoint_url": self.endpoint, "region_name": REGION, **made_up}


def stores_from_env(environ: Mapping[str, str], endpoint: str | None, *, emulated: bool) -> Stores:
    """The stores under the names that the gateway reads from the same environment."""
    try:
        settings = Settings.from_env(environ)
    except ValueError as error:
        raise LocalError(str(error)) from error
    return Stores(endpoint, emulated, settings.answers_table, settings.state_table, settings.bucket)


@contextmanager
def readable_errors(stores: Stores) -> Generator[None]:
    """boto3's errors inside become a LocalError that says what to look at."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        advice = (
            "Is `make run` still running?"
            if stores.emulated
            else "Check AWS_ENDPOINT_URL, the region, the credentials and the tables' names."
        )
        raise LocalError(f"The stores at {stores.endpoint or 'AWS'} cannot be used: {error}\n{advice}") from error


def stores_of_run(data: Path, environ: Mapping[str, str]) -> Stores:
    """The stores that a command works on: those that the environment names, else those of the running `make run`."""
    endpoint = environ.get("AWS_ENDPOINT_URL") or None
    if endpoint or environ.get("SUBSECOND_STATE_TABLE"):
        return stores_from_env(environ, endpoint, emulated=False)
    noted = _read_run_file(data, "or set AWS_ENDPOINT_URL or SUBSECOND_STATE_TABLE to name the table")
    return Stores(**noted["stores"])


def url_of_run(data: Path) -> str:
    """The running gateway's URL, without `/v1`. LocalError when none is noted."""
    base_url: str = _read_run_file(data, "or name one by --url or --stack-name")["base_url"]
    return base_url.removesuffix("/v1")


def _read_run_file(data: Path, otherwise: str) -> dict[str, Any]:
    """What `note_run` has written. LocalError with the advice `otherwise` when there is none, or another version's."""
    path = data / RUN_FILE
    try:
        noted: dict[str, Any] = json.loads(path.read_text())
        if noted["stores"].keys() == Stores.__dataclass_fields__.keys() and noted["base_url"]:
            return noted
    except FileNotFoundError:
        raise LocalError(
            f"No running gateway is noted in {path}. Start one with `make run` (STORES=aws, the default) "
            f"and call this in the same folder, {otherwise}."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalError(f"{path} cannot be read ({error}): start `make run` again.") from error
    raise LocalError(f"{path} is of another version: start `make run` again.")


def note_run(data: Path, stores: Stores, base_url: str) -> None:
    """Write the run file, readable by its owner alone, whole or not at all."""
    text = json.dumps({"pid": os.getpid(), "base_url": base_url, "region": REGION, "stores": asdict(stores)}, indent=2)
    write_private(data / RUN_FILE, text + "\n")


def forget_run(data: Path) -> None:
    with suppress(FileNotFoundError):
        (data / RUN_FILE).unlink()


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read; nobody sees half of it."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)
