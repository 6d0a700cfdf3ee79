"""How a gateway on this machine reaches Bedrock: with the environment's own credentials, beside stores that may be
ministack's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from subsecond_local.errors import LocalError

# Where ministack answers in place of AWS. One address for all services would be Bedrock's as well.
EMULATED = ("DYNAMODB", "DYNAMODB_STREAMS", "S3")
# A function's environment has no home folder.
FILES = {"AWS_CONFIG_FILE": "~/.aws/config", "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials"}


def bedrock_access(environ: Mapping[str, str], emulated: Mapping[str, str]) -> dict[str, str]:
    """The variables of the gateway. emulated: those by which it would reach ministack; empty without one. LocalError
    where there is no region or are no credentials."""
    own = {name: value for name, value in environ.items() if name.startswith("AWS_")}
    files = {name: str(Path(place).expanduser()) for name, place in FILES.items()}
    region = environ.get("SUBSECOND_BEDROCK_REGION") or _found(own)
    access = {**files, **own, "SUBSECOND_BEDROCK_REGION": region}
    if emulated:
        address = emulated["AWS_ENDPOINT_URL"]
        access.pop("AWS_ENDPOINT_URL", None)
        access |= {name: emulated[name] for name in ("AWS_REGION", "AWS_DEFAULT_REGION")}
        access |= {f"AWS_ENDPOINT_URL_{service}": address for service in EMULATED}
    return access


def _found(own: Mapping[str, str]) -> str:
    """The region of the environment or the profile; there are credentials, too."""
    import botocore.session  # not for the other upstreams

    session = botocore.session.get_session()
    region = own.get("AWS_REGION") or session.get_config_variable("region")
    if not region:
        raise LocalError("UPSTREAM=bedrock needs a region: set AWS_DEFAULT_REGION, or one in your profile.")
    if session.get_credentials() is None:
        raise LocalError("UPSTREAM=bedrock needs credentials: AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret.")
    return str(region)
