"""What a user would otherwise write: FastAPI before the openai client, and with NAIVE_CACHE=1 a dict as its cache."""

import json
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from openai import APIStatusError, AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI(base_url=os.environ["NAIVE_UPSTREAM_URL"], api_key=os.environ["NAIVE_UPSTREAM_KEY"])
cache: dict[str, list[str]] | None = {} if os.environ.get("NAIVE_CACHE") else None


async def replay(lines: list[str]) -> AsyncIterator[str]:
    for line in lines:
        yield line


async def relay(body: dict[str, Any], key: str) -> AsyncIterator[str]:
    lines = []
    async for chunk in await client.chat.completions.create(**body):
        lines.append(f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n")
        yield lines[-1]
    lines.append("data: [DONE]\n\n")
    if cache is not None:
        cache[key] = lines
    yield lines[-1]


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    body = await request.json()
    key = json.dumps(body, sort_keys=True)
    known = cache.get(key) if cache is not None else None
    if body.get("stream"):
        return StreamingResponse(replay(known) if known else relay(body, key), media_type="text/event-stream")
    if known:
        return Response(known[0], media_type="application/json")
    try:
        answer = await client.chat.completions.create(**body)
    except APIStatusError as error:
        return JSONResponse({"error": error.body}, error.status_code)
    text = answer.model_dump_json(exclude_unset=True)
    if cache is not None:
        cache[key] = [text]
    return Response(text, media_type="application/json")
