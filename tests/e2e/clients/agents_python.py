"""The `openai-agents` package, by Responses: what it speaks unless it is told otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    ToolCallItem,
    function_tool,
    set_tracing_disabled,
)
from agents.exceptions import AgentsException
from loop import IMAGE, instructions, questions, result_of, serve
from openai import AsyncOpenAI, OpenAIError
from pydantic import BaseModel

set_tracing_disabled(disabled=True)


class City(BaseModel):
    """What `structured` asks for."""

    name: str
    people: int
    rivers: list[str]


@function_tool
def weather(city: str, days: int) -> str:
    """The weather of a city."""
    return result_of({"city": city, "days": days})


@function_tool(name_override="weather")
def other_weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"{result_of({'city': city, 'days': days})}, and then snow"


def _agent(client: AsyncOpenAI, model: str, **more: Any) -> Agent:
    settings = ModelSettings(store=False)
    spoken = OpenAIResponsesModel(model=model, openai_client=client)
    return Agent(name="tested", instructions=instructions(), model=spoken, model_settings=settings, **more)


def _ran(words: tuple[str, str, str, Any], **more: Any) -> Any:
    """The result of a run with this base URL, key, model and prompt."""
    base_url, key, model, prompt = words

    async def run() -> Any:
        async with AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30) as client:
            return await Runner.run(_agent(client, model, **more), prompt, run_config=RunConfig(tracing_disabled=True))

    return _done(run())


def text(base_url: str, key: str, model: str, prompt: Any) -> dict[str, Any]:
    found = _ran((base_url, key, model, prompt))
    used = found.context_wrapper.usage
    return {"text": found.final_output, "usage": {"prompt": used.input_tokens, "completion": used.output_tokens}}


def stream(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30) as client:
            found = Runner.run_streamed(_agent(client, model), prompt)
            raw = [event.data async for event in found.stream_events() if event.type == "raw_response_event"]
        pieces = [event.delta for event in raw if event.type == "response.output_text.delta"]
        used = found.context_wrapper.usage
        usage = {"prompt": used.input_tokens, "completion": used.output_tokens}
        return {"pieces": pieces, "text": found.final_output, "usage": usage}

    return _done(run())


def tools(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    found = _ran((base_url, key, model, prompt), tools=[weather])
    calls = [item.raw_item for item in found.new_items if isinstance(item, ToolCallItem)]
    told = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in calls]
    return {"calls": told, "text": found.final_output}


def agent(base_url: str, key: str, model: str, prompt: str, turns: int, other: int) -> dict[str, Any]:
    """What an agent says last in each turn of a conversation. other: the turn in which the tool says something else."""
    said: list[Any] = []
    texts = []
    for number, asked in enumerate(questions(prompt, turns)):
        told = other_weather if number == other else weather
        found = _ran((base_url, key, model, [*said, {"role": "user", "content": asked}]), tools=[told])
        said = found.to_input_list()
        texts.append(found.final_output)
    return {"texts": texts}


def structured(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    return {"value": _ran((base_url, key, model, prompt), output_type=City).final_output.model_dump()}


def image(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": prompt}, {"type": "input_image", "image_url": IMAGE, "detail": "auto"}]
    return text(base_url, key, model, [{"role": "user", "content": content}])


def _done(run: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(run)


if __name__ == "__main__":
    served = {"text": text, "stream": stream, "tools": tools, "structured": structured, "image": image}
    serve(served | {"agent": agent}, (OpenAIError, AgentsException))
