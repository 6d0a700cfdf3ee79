"""Calls a running gateway's own routes, for commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from subsecond_local.errors import LocalError
from subsecond_local.run.stack import outputs
from subsecond_local.run.stores import KEY_FILE, url_of_run

LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class GatewayClient:
    """`url`: without `/v1`."""

    url: str
    key: str = field(repr=False)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, trace: bool = False) -> Any:
        """The JSON of its reply (with the trace in it). LocalError with the gateway's own words when it refuses."""
        from urllib.error import HTTPError, URLError  # ssl and more, which `--help` need not wait for
        from urllib.request import ProxyHandler, Request, build_opener

        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        headers |= {"x-subsecond-trace": "1"} if trace else {}
        request = Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310 -- `find` lets only http and https in
        # No proxy between two processes of this machine.
        direct = (urlsplit(self.url).hostname or "") in ("127.0.0.1", "localhost", "::1")
        opener = build_opener(ProxyHandler({})) if direct else build_opener()
        try:
            with opener.open(request, timeout=LONGEST) as reply:
                return json.loads(reply.read())
        except HTTPError as error:
            with error:
                raise LocalError(f"{self.url}{path} says {error.code}: {_words(error.read())}") from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise LocalError(f"The gateway at {self.url} cannot be reached: {reason}. Is it running?") from error
        except ValueError as error:
            raise LocalError(f"{self.url}{path} does not answer in JSON: is it a Subsecond gateway?") from error


def find(
    environ: Mapping[str, str], data: Path, url: str | None, stack: str | None, output: str = "CompletionFunctionUrl"
) -> GatewayClient:
    """The gateway at `url`, or a stack's function behind this output, or the running `make run`. LocalError."""
    key = environ.get("SUBSECOND_API_KEY", "")
    if stack:
        url = outputs(stack).get(output)
        if not url:
            raise LocalError(f"The stack {stack} has no output {output}: is it a Subsecond stack, and is it deployed?")
    if not url:
        return GatewayClient(url_of_run(data), key or _kept_key(data))
    if not key:
        raise LocalError("Set SUBSECOND_API_KEY to a key of that gateway (`subsecond keys create` makes one).")
    if not url.startswith(("http://", "https://")):
        raise LocalError(f"{url} is not a gateway's URL: it must begin with http:// or https://.")
    return GatewayClient(url.rstrip("/").removesuffix("/v1"), key)


def _kept_key(data: Path) -> str:
    try:
        return (data / KEY_FILE).read_text().strip()
    except OSError:
        raise LocalError(f"There is no key in {data / KEY_FILE}: set SUBSECOND_API_KEY.") from None


def _words(body: bytes) -> str:
    """The message of an error as OpenAI shapes them, or the body's beginning."""
    try:
        message: str = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace") or "nothing"
    return message
