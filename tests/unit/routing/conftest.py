"""A catalogue of three tiers, and models by the dozen."""

import json

import pytest

from subsecond.model import Call
from subsecond.routing import parsing
from subsecond.routing.selection import RoutingPolicy

MODELS = [
    {"name": "small", "tier": "fast", "price_in": 0.1, "price_out": 0.4, "ttft_ms": 200, "window": 16000},
    {"name": "middle", "tier": "balanced", "price_in": 1, "price_out": 4, "ttft_ms": 400, "window": 128000},
    {
        "name": "large",
        "tier": "quality",
        "price_in": 3,
        "price_out": 12,
        "ttft_ms": 800,
        "window": 64000,
        "capabilities": ["tools", "vision", "json_schema"],
    },
]


@pytest.fixture
def catalogue():
    """`catalogue(models, aliases={...})`: parsed; the three of MODELS without an argument."""

    def make(models=None, **parts):
        return parsing.read(json.dumps({"models": MODELS if models is None else models, **parts}))

    return make


@pytest.fixture
def policy():
    return RoutingPolicy()


@pytest.fixture
def chat():
    """`chat("a question", model="auto", tools=[...])`."""

    def make(*turns, model="auto", deadline=None, **fields):
        roles = ("user", "assistant")
        messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]
        return Call("chat", model, {"model": model, "messages": messages, **fields}, deadline=deadline)

    return make
