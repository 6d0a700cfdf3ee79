"""How a function reaches AWS without boto3, and what such calls raise. `wire.py` calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from subsecond.aws.signing import Credentials

# What says that a call must go another way: through a proxy, to another partition's names.
ANOTHER_WAY = ("HTTPS_PROXY", "https_proxy", "AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
OTHER_NAMES = ("cn-", "us-iso")
ENDPOINT = "AWS_ENDPOINT_URL"


class WireError(Exception):
    """A call that AWS refused, or that did not reach it. `response`: as botocore's ClientError has it."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.response = {"Error": {"Code": code, "Message": message}}


@dataclass(frozen=True, slots=True)
class Access:
    """How a function reaches AWS. endpoints: `AWS_ENDPOINT_URL`, and those of one service behind its name."""

    credentials: Credentials
    region: str
    endpoints: Mapping[str, str] = field(default_factory=dict)

    def endpoint(self, service: str) -> str:
        """What the service is asked at in place of AWS's own address; empty: there."""
        own = f"{ENDPOINT}_{service.upper().replace('-', '_')}"
        return self.endpoints.get(own) or self.endpoints.get(ENDPOINT, "")

    def url(self, service: str, region: str) -> str:
        """The service's address."""
        return self.endpoint(service) or f"https://{service}.{region}.amazonaws.com"


def access_of(environ: Mapping[str, str]) -> Access | None:
    """Of a function whose credentials lie in its environment. None elsewhere: boto3 knows profiles, the roles of
    containers, proxies and the addresses of other partitions."""
    region = environ.get("AWS_REGION", "")
    keys = [environ.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
    if "AWS_LAMBDA_FUNCTION_NAME" not in environ or not all((region, *keys[:2])):
        return None
    if region.startswith(OTHER_NAMES) or any(environ.get(name) for name in ANOTHER_WAY):
        return None
    endpoints = {name: value for name, value in environ.items() if name.startswith(ENDPOINT)}
    return Access(Credentials(*keys), region, endpoints)
