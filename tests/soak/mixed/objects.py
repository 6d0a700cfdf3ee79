"""Responses that the upstream keeps: they are there for the tenant that made them, and for no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from subsecond_local.simulator.dialects.responses_request import items_of
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.memory import Kept
from tests.soak.mixed.client import Client
from tests.soak.mixed.questions import MODEL, Question
from tests.soak.mixed.spoken import SPOKEN, ended_with
from tests.soak.mixed.wire import Answer

ROUTES = (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", ""))


@dataclass(frozen=True)
class Made:
    """lost: whose it is may not be recorded, because the table was away: then it is nobody's."""

    question: Question
    response: Mapping[str, Any]
    lost: bool

    @property
    def path(self) -> str:
        return f"{self.question.spoken.path}/{self.response['id']}"

    @property
    def may(self) -> tuple[int, ...]:
        return (200, 404) if self.lost else (200,)


@dataclass(frozen=True, slots=True)
class GoesOn(Question):
    """A question that goes on from a response."""

    earlier: Made | None = field(default=None, compare=False)

    def body(self, *, stream: bool) -> bytes:
        return json.dumps({**self._asked(), "stream": stream}).encode()

    def right(self) -> str:
        assert self.earlier
        simulation, asked = Simulation(), self.earlier.question
        told = SPOKEN["objects"].body(asked.model, asked.text)
        simulation.memory.keep(Kept(dict(self.earlier.response), (), items_of(told)))
        answer = simulation.answer("responses", self._asked())
        return "".join(part.text for part in answer.choices[0].of("text"))

    def _asked(self) -> dict[str, Any]:
        assert self.earlier
        return {"model": self.model, "input": self.text, "previous_response_id": self.earlier.response["id"]}


async def kept(client: Client) -> None:
    """One is made, looked at, gone on from and deleted, while another tenant tries the same."""
    made = await _made(client)
    if made is None:
        return
    steps = [_by_another, _by_its_own, _gone_on]
    client.random.shuffle(steps)
    for step in steps:
        await step(client, made)
    await _deleted(client, made)


async def _made(client: Client) -> Made | None:
    question = client.new(MODEL, "objects")
    lost = client.tally.away("dynamodb")
    answer = await client.ask("object", question, headers=("x-subsecond-trace: 1",))
    if answer.end != "200":
        return None
    lost = lost or client.tally.away("dynamodb") or b'"owners_failed"' in answer.body
    response = ended_with(answer.events()) if answer.streamed else json.loads(answer.body)
    assert response is not None  # the end of a stream, which the judge has read
    return Made(question, {name: value for name, value in response.items() if name != "subsecond"}, lost)


async def _by_another(client: Client, made: Made) -> None:
    """Whatever it tries, nothing is there."""
    method, behind = client.random.choice(ROUTES)
    await client.call("another's", made.path + behind, method=method, tenant=client.other, may=(404,))
    body = GoesOn("And then?", MODEL, dialect="objects", earlier=made).body(stream=client.random.random() < 0.5)
    await client.call("another's", made.question.spoken.path, body, tenant=client.other, may=(404,))


async def _by_its_own(client: Client, made: Made) -> None:
    lies = client.tally.away("upstream")
    seen = await client.call("its own", made.path, may=made.may)
    items = await client.call("its own", f"{made.path}/input_items", may=made.may)
    if lies or client.tally.away("upstream"):
        return
    if seen.status == 200 and json.loads(seen.body) != made.response:
        client.judge.say("another object", made.question.text, seen)
    if items.status == 200 and made.question.text.encode() not in items.body:
        client.judge.say("another object's items", made.question.text, items)


async def _gone_on(client: Client, made: Made) -> None:
    question = client.new(MODEL, "objects")
    await client.ask("gone on", GoesOn(question.text, MODEL, dialect="objects", earlier=made), may=made.may)


async def _deleted(client: Client, made: Made) -> None:
    answer: Answer = await client.call("its own", made.path, method="DELETE", may=made.may)
    if answer.status == 200 and json.loads(answer.body).get("deleted"):
        await client.call("its own, deleted", made.path, may=(404,))
