"""The least that a gateway on FastAPI and DynamoDB is made of: what tests/benchmarks/cold.py measures ours against."""

from __future__ import annotations

import os

import boto3
from fastapi import FastAPI
from mangum import Mangum

app = FastAPI()
dynamodb = boto3.client("dynamodb")
upstream = None
if os.environ.get("FLOOR_UPSTREAM_URL"):
    import openai

    upstream = openai.AsyncOpenAI(base_url=os.environ["FLOOR_UPSTREAM_URL"], api_key=os.environ["FLOOR_UPSTREAM_KEY"])


@app.post("/v1/chat/completions")
async def answer(body: dict) -> dict:
    """One look into the table, and the model where there is one."""
    dynamodb.get_item(TableName="subsecond-answers", Key={"pk": {"S": "nothing"}})
    if upstream is None:
        return {"content": "found"}
    found = await upstream.chat.completions.create(model=body["model"], messages=body["messages"])
    return {"content": found.choices[0].message.content}


handler = Mangum(app, lifespan="off")
