"""What is not Converse: vectors of Titan's and Cohere's shapes, and the OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from subsecond_local.bedrock.checks import Refused
from subsecond_local.bedrock.simulated_converse import BASE
from subsecond_local.simulator.paced import PacedPayloads, whole_body
from subsecond_local.simulator.simulated_answer import as_json

if TYPE_CHECKING:
    from subsecond_local.simulator.engine import Simulation
    from subsecond_local.simulator.request_cycle import RequestCycle
    from subsecond_local.simulator.simulated_answer import SimulatedAnswer

SIZES = {"amazon.titan-embed-text-v2": 1024, "cohere.embed-v4": 1536}


def vectors(simulation: Simulation, model: str, body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The reply, and the tokens of the input."""
    size = next((size for name, size in SIZES.items() if name in model), 1024)
    if "inputText" in body:
        found, tokens = _vectors(simulation, [body["inputText"]], body.get("dimensions", size))
        return {"embedding": found[0], "inputTextTokenCount": tokens}, tokens
    if "texts" in body and "input_type" in body:
        found, tokens = _vectors(simulation, body["texts"], body.get("output_dimension", size))
        return {"embeddings": {"float": found}, "response_type": "embeddings_by_type"}, tokens
    raise Refused("ValidationException", "Malformed input request.")


def _vectors(simulation: Simulation, texts: list[str], size: int) -> tuple[list[list[float]], int]:
    found = json.loads(simulation.embeddings({"model": BASE, "input": texts, "dimensions": size}))
    return [one["embedding"] for one in found["data"]], found["usage"]["prompt_tokens"]


def claude_answer(simulation: Simulation, model: str, body: dict[str, Any]) -> SimulatedAnswer:
    """Refused where the version is not Bedrock's own, or a field is the path's."""
    if body["anthropic_version"] != "bedrock-2023-05-31" or {"model", "stream"} & body.keys():
        raise Refused("ValidationException", "Malformed input request.")
    rest = {name: value for name, value in body.items() if name not in ("anthropic_version", "anthropic_beta")}
    return simulation.answer("messages", {**rest, "model": model if model.startswith("sim-") else BASE})


async def openai_answer(simulation: Simulation, cycle: RequestCycle, body: dict[str, Any]) -> None:
    model = str(body.get("model"))
    answer = simulation.answer("chat", {**body, "model": model if model.startswith("sim-") else BASE})
    if not body.get("stream"):
        await asyncio.sleep(answer.times[-1])
        await cycle.reply(as_json(json.loads(whole_body(answer)) | {"model": model}))
        return
    await cycle.start(200, [(b"content-type", b"text/event-stream")])
    payloads = PacedPayloads(answer, _pause, usage=bool((body.get("stream_options") or {}).get("include_usage")))
    while (payload := await payloads.next()) is not None:
        await cycle.write(b"data: %b\n\n" % as_json(json.loads(payload.data) | {"model": model}))
    await cycle.end(b"data: [DONE]\n\n")


async def _pause(seconds: float, *, first: bool) -> None:
    del first
    await asyncio.sleep(seconds)
