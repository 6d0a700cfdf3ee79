"""What clients do about the cache, and the routes that answer no question."""

from __future__ import annotations

import json
import re

from tests.soak.mixed.client import Client
from tests.soak.mixed.judge import number_of
from tests.soak.mixed.questions import Question, family
from tests.soak.mixed.wire import Wire, request

TAGS = (*(f"common{at}" for at in range(10)), *(f"family{at}" for at in range(15)), "private")
_KEY = re.compile(r'key="([0-9a-f]+)"')


async def delete(client: Client) -> None:
    """From the gateway's word on, nobody gets what was answered before."""
    tag = "" if client.random.random() < 0.2 else client.random.choice(TAGS)
    number, asked = await _latest_call(client), client.judge.now()
    told = {"by": "tag", "value": tag} if tag else {"by": "namespace"}
    kind = "delete a tag's" if tag else "delete the namespace's"
    answer = await client.call(kind, "/v1/cache/invalidate", json.dumps(told).encode(), may=(200, 400))
    if answer.status == 200:
        client.judge.deleted(client.tenant, tag, number, asked)
    elif answer.status == 400 and b"too_many_rules" not in answer.body:
        client.tally.unexcused.append(f"{kind}: {answer}")


async def report(client: Client) -> None:
    """A similar question's answer is reported as wrong, and not served again; at times that is taken back."""
    question = family(client.random.randrange(1_000), client.random.randrange(3), client.dialect())
    answer = await client.ask("semantic", question)
    if answer.end != "200" or "detail=semantic" not in answer.headers.get("cache-status", ""):
        return
    number = number_of(question, answer)
    if not await _said(client, "wrong", question, answer.headers):
        return
    client.judge.reported(client.tenant, question, number)
    await client.ask("reported", question)
    # Nothing else takes a report back, and without that all that is near would be reported before the end.
    client.judge.taken_back(client.tenant, question, number)
    await _said(client, "right", question, answer.headers)


async def _said(client: Client, verdict: str, question: Question, headers: dict[str, str]) -> bool:
    """Whether it is known now. 404: the note of the hit, or the entry, is not in the table, which costs a request
    nothing where the table is away or late."""
    named = {"entry": _KEY.findall(headers["cache-status"])[0], "question": question.text}
    if "x-request-id" in headers and client.random.random() < 0.5:
        named = {"request_id": headers["x-request-id"]}
    body = json.dumps({"verdict": verdict, **named}).encode()
    answer = await client.call(f"feedback: {verdict}", "/v1/cache/feedback", body, may=(200, 404))
    return answer.status == 200


async def look(client: Client) -> None:
    """The other routes."""
    path = client.random.choice(("/v1/cache/stats", "/v1/models", "/dashboard", "/health"))
    answer = await client.call("others", path)
    if path == "/v1/models" and answer.status == 200 and b'"error"' in answer.body:
        client.judge.say("an error as a list of models", path, answer)


async def _latest_call(client: Client) -> int:
    """The number of a call that the upstream is asked now, past the gateway."""
    port, key = client.place.direct
    wire, question = Wire(port), Question("Which call is this?", "sim-t0-i0-n1")
    await wire.send(request(port, key, question.body(stream=False)))
    answer = await wire.read()
    wire.close()
    return number_of(question, answer)
