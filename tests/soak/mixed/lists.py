"""Several at once, each of which goes its own way: embeddings, and prompts in a batch.

Their answers name no call, so whose they are shows in what is answered from memory: the tenant has asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from subsecond_local.simulator.engine import Simulation
from tests.soak.mixed.client import Client
from tests.soak.mixed.judge import Floor
from tests.soak.mixed.questions import MODEL, Question
from tests.soak.mixed.wire import Answer

# Texts that many ask for, both tenants among them.
POOL = 40
EMBEDDINGS, BATCH = "/v1/embeddings", "/v1/completions/batch"
# Small, so that the soak does not spend its time on digits.
DIMENSIONS = 32


async def embeddings(client: Client) -> None:
    form = client.random.choice(("float", "base64"))
    texts = _some(client, "Text")
    asked = {**_as_embedding(texts[0], form), "input": texts}
    known = [f"{form} {text}" for text in texts]
    floor = client.judge.floor(client.tenant, Question(""))
    answer = await _asked(client, "embeddings", EMBEDDINGS, asked, known)
    if answer.end == "200":
        _check_vectors(client, texts, form, answer)
        if "; hit" in answer.headers["cache-status"]:
            _check_known(client, known, floor, answer)
    client.judge.heard(client.tenant, known)


async def batch(client: Client) -> None:
    prompts = _some(client, "Prompt")
    known = [f"prompt {prompt}" for prompt in prompts]
    floor, excuses = client.judge.floor(client.tenant, Question("")), client.tally.excuses()
    answer = await _asked(client, "batch", BATCH, {"model": MODEL, "prompts": prompts}, known)
    if answer.end == "200":
        told = json.loads(answer.body)
        _check_texts(client, prompts, told, answer)
        exact = [name for name, one in zip(known, told["results"], strict=True) if one.get("cache_type") == "exact"]
        _check_known(client, exact, floor, answer)
        if told["errors"] and not excuses | client.tally.now.may_say:
            client.tally.unexcused.append(f"batch: {told['errors']}")
    client.judge.heard(client.tenant, known)


def _some(client: Client, kind: str) -> list[str]:
    """Each once, a new one among them at times."""
    common = client.random.sample(range(POOL), client.random.randrange(1, 5))
    new = [client.new(MODEL).text] if client.random.random() < 0.3 else []
    return [*(f"{kind} {number} of those that many know." for number in common), *new]


async def _asked(client: Client, kind: str, path: str, body: dict[str, Any], known: list[str]) -> Answer:
    phase = client.tally.now
    client.judge.asks(client.tenant, known)
    answer = await client.call(kind, path, json.dumps(body).encode())
    if answer.end == "200" and "cache-status" in answer.headers:
        client.tally.served(kind, f"POST {path}", answer, phase)
    return answer


def _check_known(client: Client, known: Sequence[str], floor: Floor, answer: Answer) -> None:
    for name in known:
        client.judge.check_known(client.tenant, name, floor, answer)


def _check_vectors(client: Client, texts: Sequence[str], form: str, answer: Answer) -> None:
    data = json.loads(answer.body).get("data")
    # What says nothing of whose vector is which is passed on as it came, and not kept.
    if data is None and client.tally.away("upstream"):
        return
    if [one["embedding"] for one in data or ()] != [_vector(text, form) for text in texts]:
        client.judge.say("other vectors", str(texts), answer)


def _check_texts(client: Client, prompts: Sequence[str], told: dict[str, Any], answer: Answer) -> None:
    failed = {one["index"] for one in told["errors"] if one["error"]["message"]}
    rights = [None if at in failed else _said(prompt) for at, prompt in enumerate(prompts)]
    if told["responses"] != rights:
        client.judge.say(f"other texts than {rights}", str(prompts), answer)


def _as_embedding(text: str, form: str) -> dict[str, Any]:
    return {"model": MODEL, "input": text, "encoding_format": form, "dimensions": DIMENSIONS}


@lru_cache(maxsize=4_096)
def _vector(text: str, form: str) -> Any:
    return json.loads(Simulation().embeddings(_as_embedding(text, form)))["data"][0]["embedding"]


@lru_cache(maxsize=4_096)
def _said(prompt: str) -> str:
    answer = Simulation().answer("text", {"model": MODEL, "prompt": prompt})
    return "".join(part.text for part in answer.choices[0].of("text"))
