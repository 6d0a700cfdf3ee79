"""`pydantic-ai`: its `openai:` models, which speak Responses, and its `anthropic:` ones."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from loop import PIXEL, instructions, result_of, serve
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.exceptions import AgentRunError
from pydantic_ai.messages import ModelMessage, ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    """What `structured` asks for."""

    name: str
    people: int
    rivers: list[str]


def _agent(dialect: str, base_url: str, key: str, model: str, **more: Any) -> Agent:
    if dialect == "messages":
        provider = AnthropicProvider(base_url=base_url.removesuffix("/v1"), api_key=key)
        provider.client.max_retries = 0
        return Agent(AnthropicModel(model, provider=provider), instructions=instructions(), **more)
    openai = OpenAIProvider(base_url=base_url, api_key=key)
    openai.client.max_retries = 0
    settings = OpenAIResponsesModelSettings(openai_store=False)
    spoken = OpenAIResponsesModel(model, provider=openai, settings=settings)
    return Agent(spoken, instructions=instructions(), **more)


def text(base_url: str, key: str, model: str, prompt: Any, *, dialect: str) -> dict[str, Any]:
    found = asyncio.run(_agent(dialect, base_url, key, model).run(prompt))
    return {"text": found.output, "usage": _usage(found)}


def stream(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with _agent(dialect, base_url, key, model).run_stream(prompt) as found:
            pieces = [piece async for piece in found.stream_text(delta=True, debounce_by=None)]
            return {"pieces": pieces, "text": "".join(pieces), "usage": _usage(found)}

    return asyncio.run(run())


def tools(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    agent = _agent(dialect, base_url, key, model)

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """The weather of a city."""
        return result_of({"city": city, "days": days})

    found = asyncio.run(agent.run(prompt))
    return {"calls": _calls(found.all_messages()), "text": found.output}


def structured(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    """By a tool that it demands, which is its way unless it is told otherwise."""
    agent = _agent(dialect, base_url, key, model, output_type=City)
    return {"value": asyncio.run(agent.run(prompt)).output.model_dump()}


def image(base_url: str, key: str, model: str, prompt: str, *, dialect: str) -> dict[str, Any]:
    picture = BinaryContent(data=base64.b64decode(PIXEL), media_type="image/png")
    return text(base_url, key, model, [prompt, picture], dialect=dialect)


def _calls(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    parts = [part for message in messages for part in message.parts if isinstance(part, ToolCallPart)]
    return [{"name": part.tool_name, "arguments": part.args_as_dict()} for part in parts]


def _usage(found: Any) -> dict[str, int]:
    return {"prompt": found.usage.input_tokens, "completion": found.usage.output_tokens}


if __name__ == "__main__":
    served = {"text": text, "stream": stream, "tools": tools, "structured": structured, "image": image}
    serve(served, AgentRunError)
