"""Signature version 4 for requests that boto3 does not send, by the standard library alone: a hash, and an HMAC of it.

botocore's signer makes the same bytes, which a test holds, but loads 133 modules and 49 ms of processor time with it: a
sixth of a cold start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from hmac import digest
from typing import Any
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
# Services that are signed by another name than that of their endpoint.
SIGNED_AS = {"bedrock-runtime": "bedrock"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Those of a function, which are in its environment and never renewed. token: of temporary ones; else empty."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Signer:
    """Of one service in one region. url: the endpoint's; credentials: a function's, botocore's, or None where there are
    none. `clock`: epoch seconds; AWS takes no signature that is five minutes off. Made by `Aws.signer`."""

    def __init__(
        self, credentials: Any, url: str, service: str, region: str, clock: Callable[[], float] = time.time
    ) -> None:
        self.url = url.rstrip("/")
        self.region = region
        self._root = urlsplit(self.url).path
        self._credentials = credentials
        self._service = SIGNED_AS.get(service, service)
        self._clock = clock

    @property
    def blocks(self) -> bool:
        """Whether the next signature waits for new credentials, so that it belongs into a thread: those of a container
        and of a laptop are renewed."""
        refresh_needed = getattr(self._credentials, "refresh_needed", None)
        return bool(refresh_needed and refresh_needed())

    def renew(self) -> None:
        """Blocking. Raises what botocore raises."""
        self._credentials.get_frozen_credentials()

    def headers(self, method: str, path: str, content: bytes, fields: Mapping[str, str]) -> dict[str, str]:
        """The fields, names in lower case and `host` among them, with those of the signature. path: behind the
        endpoint's url, as it goes on the wire, without a query. Raises botocore's NoCredentialsError."""
        known = self._frozen()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        signed = {**fields, "x-amz-date": stamp}
        if known.token:
            signed["x-amz-security-token"] = known.token
        listed = ";".join(sorted(signed))
        scope = f"{stamp[:8]}/{self.region}/{self._service}/aws4_request"
        canonical = _canonical(method, self._signed_path(path), signed, listed, content)
        text = f"{ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        proof = digest(_key(known.secret_key, stamp[:8], self.region, self._service), text.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={known.access_key}/{scope}, SignedHeaders={listed}, Signature={proof}"
        )
        return signed

    def _frozen(self) -> Any:
        if isinstance(self._credentials, Credentials):
            return self._credentials
        if self._credentials is None:
            from botocore.exceptions import NoCredentialsError  # 49 ms, for an error

            raise NoCredentialsError
        return self._credentials.get_frozen_credentials()

    def _signed_path(self, path: str) -> str:
        """S3's names stand as they go; all other services want them quoted once more."""
        whole = f"{self._root}{path}"
        return whole if self._service == "s3" else quote(whole, safe="/~")


def _canonical(method: str, path: str, fields: Mapping[str, str], listed: str, content: bytes) -> str:
    lines = "".join(f"{name}:{' '.join(fields[name].split())}\n" for name in sorted(fields))
    return f"{method}\n{path}\n\n{lines}\n{listed}\n{sha256(content).hexdigest()}"


@lru_cache(maxsize=8)
def _key(secret: str, *scope: str) -> bytes:
    """The key of a day, a region and a service."""
    key = b"AWS4" + secret.encode()
    for part in (*scope, "aws4_request"):
        key = digest(key, part.encode(), "sha256")
    return key
