"""A function's URL over HTTPS, and when each part of its answer came."""

from __future__ import annotations

from time import perf_counter
from urllib.parse import urlsplit

import httpx2

from subsecond_local.verify.ports import Arrival, Question, Refused, Reply

# Seconds for a connection, and between two signs of life: a model may think for long.
TIMEOUT = httpx2.Timeout(300.0, connect=15.0)


class Https:
    """One connection, which stays open: times are those of the function, and not of the way to it. Only the first
    request opens it."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        # No proxy between two processes of this machine.
        far = (urlsplit(url).hostname or "") not in ("127.0.0.1", "localhost", "::1")
        self._client = httpx2.Client(timeout=TIMEOUT, trust_env=far)

    def ask(self, question: Question) -> Reply:
        # Compressed, an answer would come in other pieces than it was sent in.
        headers = {"accept-encoding": "identity", **question.headers}
        headers |= {"authorization": f"Bearer {question.key}"} if question.key else {}
        begun = perf_counter()
        try:
            with self._client.stream(
                question.method, self._url + question.path, json=question.body, headers=headers
            ) as response:
                arrivals = [Arrival(perf_counter() - begun, data) for data in response.iter_raw()]
        except httpx2.HTTPError as error:
            raise Refused(f"{self._url}{question.path}: {type(error).__name__}: {error}") from error
        named = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status_code, named, arrivals, perf_counter() - begun)

    def close(self) -> None:
        self._client.close()
