"""Converse's answers, made of the simulator's. Beside its words there are, by rules that a test can count on:

- the simulator's calls, but none where a result came last
- a signed thought before them where thinking is switched on; one that comes back with another signature is refused
- usage of a prefix cache: what lies before a cache point is written the first time, and read from then on, by region
- a guardrail, where one is configured, that stops what holds the word "forbidden"
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from subsecond_local.bedrock.checks import Refused
from subsecond_local.simulator.composer import THOUGHT, calls_of
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.memory import SimulatedMemory
from subsecond_local.simulator.paced import PacedPayloads
from subsecond_local.simulator.question import Question, Tool
from subsecond_local.simulator.simulated_answer import Part, Payload, SimulatedAnswer
from subsecond_local.simulator.thoughts import signature

Event = tuple[str, dict[str, Any]]

# Who answers for a model that is no name of the simulator.
BASE = "sim-t20-i2-n24"
BLOCKED = "A guardrail has stopped this."
_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}


class Converse:
    """One conversation's next turn. memory: the cached prefixes of all regions."""

    def __init__(
        self, simulation: Simulation, model: str, region: str, body: Mapping[str, Any], memory: SimulatedMemory
    ) -> None:
        self._body = body
        _check_thoughts(body)
        self._cache = _cached(body, region, memory)
        limit = body.get("inferenceConfig", {}).get("maxTokens")
        asked: dict[str, Any] = {"model": _simulated(model), "messages": _messages(body)}
        if limit is not None:
            asked["max_tokens"] = limit
        self.answer: SimulatedAnswer = simulation.answer("chat", asked)

    async def events(self, payloads: PacedPayloads) -> AsyncIterator[Event]:
        """In their time. UpstreamError for the simulator's faults."""
        yield "messageStart", {"role": "assistant"}
        first = await payloads.next()
        said, stop = self._scripted()
        for one in said:
            yield one
        if stop:
            yield "messageStop", {"stopReason": stop}
            yield "metadata", self._metadata()
            return
        async for one in self._words(int(self._thinks), first, payloads):
            yield one

    def _scripted(self) -> tuple[list[Event], str]:
        """What does not come from the simulator, and why it ends there; "" where the simulator's words follow."""
        if "guardrailConfig" in self._body and "forbidden" in _last_text(self._body):
            return list(_text_block(0, [BLOCKED])), "guardrail_intervened"
        said = list(_thought(0)) if self._thinks else []
        calls = _calls(self._body)
        for at, call in enumerate(calls, int(self._thinks)):
            said += _tool_block(at, call)
        return said, "tool_use" if calls else ""

    @property
    def _thinks(self) -> bool:
        thinking = self._body.get("additionalModelRequestFields", {}).get("thinking", {})
        return thinking.get("type") in ("enabled", "adaptive")

    async def _words(self, at: int, payload: Payload | None, payloads: PacedPayloads) -> AsyncIterator[Event]:
        begun = False
        while payload is not None:
            value = json.loads(payload.data)
            for choice in value["choices"]:
                if text := choice["delta"].get("content"):
                    begun = True
                    yield "contentBlockDelta", {"contentBlockIndex": at, "delta": {"text": text}}
                if finish := choice["finish_reason"]:
                    if begun:
                        yield "contentBlockStop", {"contentBlockIndex": at}
                    yield "messageStop", {"stopReason": _FINISH[finish]}
            if value.get("usage"):
                yield "metadata", self._metadata()
            payload = await payloads.next()

    def _metadata(self) -> dict[str, Any]:
        prompt, completion = self.answer.usage.asked, self.answer.usage.answered
        total = prompt + completion + sum(self._cache.values())
        counted = {"inputTokens": prompt, "outputTokens": completion, "totalTokens": total} | self._cache
        return {"usage": counted, "metrics": {"latencyMs": 1}}


def whole(events: list[Event]) -> dict[str, Any]:
    """Converse's reply of the same events."""
    blocks: dict[int, dict[str, Any]] = {}
    reply: dict[str, Any] = {}
    for kind, event in events:
        if kind == "contentBlockStart":
            blocks[event["contentBlockIndex"]] = {"toolUse": {**event["start"]["toolUse"], "input": ""}}
        elif kind == "contentBlockDelta":
            _grow(blocks.setdefault(event["contentBlockIndex"], {}), event["delta"])
        elif kind == "messageStop":
            reply["stopReason"] = event["stopReason"]
        elif kind == "metadata":
            reply |= event
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return {"output": {"message": {"role": "assistant", "content": [blocks[at] for at in sorted(blocks)]}}, **reply}


def _grow(block: dict[str, Any], delta: Mapping[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    else:
        said = block.setdefault("reasoningContent", {"reasoningText": {}})["reasoningText"]
        for name, value in delta["reasoningContent"].items():
            said[name] = said.get(name, "") + value


def _simulated(model: str) -> str:
    name = model.rpartition("/")[2]
    if name.startswith("sim-"):
        return name
    if "." not in name and not model.startswith("arn:"):
        raise Refused("ResourceNotFoundException", f"Could not resolve the foundation model from {name[:60]}.", 404)
    return BASE


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = [{"role": "system", "content": json.dumps(body.get("system", []))}]
    return messages + [{"role": one["role"], "content": json.dumps(one["content"])} for one in body["messages"]]


def _last_text(body: Mapping[str, Any]) -> str:
    return " ".join(block["text"] for block in body["messages"][-1]["content"] if "text" in block)


def _calls(body: Mapping[str, Any]) -> list[Part]:
    config = body.get("toolConfig", {})
    specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    if any("toolResult" in block for block in body["messages"][-1]["content"]):
        return []
    tools = tuple(Tool(spec["name"], spec["inputSchema"]["json"]) for spec in specs)
    choice = config.get("toolChoice", {})
    forced = choice["tool"]["name"] if "tool" in choice else "required" if "any" in choice else "auto"
    return calls_of(Question((), turn=_last_text(body), tools=tools, choice=forced), b"")


def _text_block(at: int, pieces: list[str]) -> Iterator[Event]:
    for piece in pieces:
        yield "contentBlockDelta", {"contentBlockIndex": at, "delta": {"text": piece}}
    yield "contentBlockStop", {"contentBlockIndex": at}


def _tool_block(at: int, call: Part) -> Iterator[Event]:
    identity = f"tooluse_{hashlib.sha256(f'{at}{call.name}'.encode()).hexdigest()[:22]}"
    begun = {"toolUse": {"toolUseId": identity, "name": call.name}}
    yield "contentBlockStart", {"contentBlockIndex": at, "start": begun}
    for piece in call.pieces:
        yield "contentBlockDelta", {"contentBlockIndex": at, "delta": {"toolUse": {"input": piece}}}
    yield "contentBlockStop", {"contentBlockIndex": at}


def _thought(at: int) -> Iterator[Event]:
    for piece in (THOUGHT[:20], THOUGHT[20:]):
        yield "contentBlockDelta", {"contentBlockIndex": at, "delta": {"reasoningContent": {"text": piece}}}
    delta = {"reasoningContent": {"signature": signature(THOUGHT)}}
    yield "contentBlockDelta", {"contentBlockIndex": at, "delta": delta}
    yield "contentBlockStop", {"contentBlockIndex": at}


def _check_thoughts(body: Mapping[str, Any]) -> None:
    for message in body["messages"]:
        for at, block in enumerate(message["content"]):
            said = block.get("reasoningContent", {}).get("reasoningText")
            if said and said.get("signature") != signature(said["text"]):
                raise Refused("ValidationException", "Invalid `signature` in `thinking` block")
            if said and at:
                raise Refused("ValidationException", "A thinking block must come first.")


def _cached(body: Mapping[str, Any], region: str, memory: SimulatedMemory) -> dict[str, int]:
    blocks = [("system", block) for block in body.get("system", ())]
    blocks += [(message["role"], block) for message in body["messages"] for block in message["content"]]
    last = max((at for at, (_, block) in enumerate(blocks) if "cachePoint" in block), default=None)
    if last is None:
        return {}
    prefix = json.dumps(blocks[:last])
    known, tokens = memory.prefix([f"{region} {prefix}"]) == 0, len(prefix) // 4
    return {"cacheReadInputTokens": tokens * known, "cacheWriteInputTokens": tokens * (not known)}
