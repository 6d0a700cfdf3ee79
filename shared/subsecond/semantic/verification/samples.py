"""A hit that is to be checked, with the texts that a check needs, as it waits for its check."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass, replace

VERSION = 1
# Characters of a text that a judge reads. A question that is compared is far shorter; an answer says early what it is
# about.
MOST_TEXT = 4_000


@dataclass(frozen=True, slots=True)
class Sample:
    """request_id: of the request that was, or would have been, answered. entry: the key of what answered it. at: epoch
    seconds. score: the policy's. shadow: it was not served. said: what the model then said itself; empty where it was
    not asked. context: what stands around both questions. vectors: as the index stores them. bound, cut: the owner's
    bound, and the policy's own cut. gap: requests compared since the hit before, in its environment; surged: of which
    surge of hits it is (`surge.py`). Both are 0 where no bound is kept."""

    request_id: str
    partition: str
    entry: str
    at: float
    score: float
    bound: float
    cut: float
    embedder: str
    asked: str
    stored: str
    answer: str
    context: str = ""
    said: str = ""
    shadow: bool = False
    asked_vector: bytes = b""
    stored_vector: bytes = b""
    gap: int = 0
    surged: int = 0

    def shortened(self) -> Sample:
        """With no text longer than a judge reads."""
        texts = {name: getattr(self, name)[:MOST_TEXT] for name in ("asked", "stored", "answer", "said")}
        return replace(self, context=self.context[-MOST_TEXT:], **texts)


def encode(sample: Sample) -> bytes:
    told = asdict(sample.shortened())
    for name in ("asked_vector", "stored_vector"):
        told[name] = b64encode(told[name]).decode()
    return json.dumps({"version": VERSION, **told}).encode("utf-8", "surrogatepass")


def decode(data: bytes) -> Sample:
    """Raises ValueError for what is no sample of this version."""
    try:
        told = json.loads(data)
        if told.pop("version") != VERSION:
            raise ValueError("another version")
        for name in ("asked_vector", "stored_vector"):
            told[name] = b64decode(told[name])
        return Sample(**told)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("no sample") from error
