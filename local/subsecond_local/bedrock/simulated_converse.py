"""Converse's answers, made of the simulator's. Beside its words there are, by rules that a test can count on:

- a call of each tool for each time that the last user text names it, unless a result came last; and of a forced tool
- a signed thought before them where thinking is switched on; one that comes back with another signature is refused
- usage of a prefix cache: what lies before a cache point is written the first time, and read from then on, by region
- a guardrail, where one is configured, that stops what holds the word "forbidden"
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from subsecond_local.bedrock.checks import Refused
from subsecond_local.simulator.engine import Simulation
from subsecond_local.simulator.paced import PacedPayloads
from subsecond_local.simulator.simulated_answer import Payload, SimulatedAnswer

Event = tuple[str, dict[str, Any]]

# Who answers for a model that is no name of the simulator.
BASE = "sim-t20-i2-n24"
THOUGHT = "The user asks something simple, so a short answer will do."
BLOCKED = "A guardrail has stopped this."
_SECRET = b"the stand-in's own"
_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}


class Converse:
    """One conversation's next turn. seen: the cached prefixes, by region."""

    def __init__(
        self, simulation: Simulation, model: str, region: str, body: Mapping[str, Any], seen: set[str]
    ) -> None:
        self._body = body
        _check_thoughts(body)
        self._cache = _cached(body, region, seen)
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
        for at, (name, arguments) in enumerate(calls, int(self._thinks)):
            said += _tool_block(at, name, arguments)
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


def _calls(body: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    config = body.get("toolConfig", {})
    specs = {tool["toolSpec"]["name"]: tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool}
    if any("toolResult" in block for block in body["messages"][-1]["content"]):
        return []
    text, choice = _last_text(body), config.get("toolChoice", {})
    names = [name for name in specs for _ in range(text.count(name))]
    forced = [choice["tool"]["name"]] if "tool" in choice else list(specs)[-1:] if "any" in choice else []
    return [(name, _arguments(specs[name], number)) for number, name in enumerate(names or forced)]


def _arguments(spec: Mapping[str, Any], number: int) -> dict[str, Any]:
    made = {"string": f"text {number}", "integer": number, "number": number / 2, "boolean": True, "array": []}
    properties = spec["inputSchema"]["json"].get("properties", {})
    return {name: made.get(schema.get("type"), {}) for name, schema in properties.items()}


def _text_block(at: int, pieces: list[str]) -> Iterator[Event]:
    for piece in pieces:
        yield "contentBlockDelta", {"contentBlockIndex": at, "delta": {"text": piece}}
    yield "contentBlockStop", {"contentBlockIndex": at}


def _tool_block(at: int, name: str, arguments: Mapping[str, Any]) -> Iterator[Event]:
    identity = f"tooluse_{hashlib.sha256(f'{at}{name}'.encode()).hexdigest()[:22]}"
    yield "contentBlockStart", {"contentBlockIndex": at, "start": {"toolUse": {"toolUseId": identity, "name": name}}}
    written = json.dumps(arguments)
    for begin in range(0, len(written), 7):
        delta = {"toolUse": {"input": written[begin : begin + 7]}}
        yield "contentBlockDelta", {"contentBlockIndex": at, "delta": delta}
    yield "contentBlockStop", {"contentBlockIndex": at}


def _thought(at: int) -> Iterator[Event]:
    for piece in (THOUGHT[:20], THOUGHT[20:]):
        yield "contentBlockDelta", {"contentBlockIndex": at, "delta": {"reasoningContent": {"text": piece}}}
    delta = {"reasoningContent": {"signature": _signature(THOUGHT)}}
    yield "contentBlockDelta", {"contentBlockIndex": at, "delta": delta}
    yield "contentBlockStop", {"contentBlockIndex": at}


def _signature(text: str) -> str:
    return hmac.new(_SECRET, text.encode(), hashlib.sha256).hexdigest()


def _check_thoughts(body: Mapping[str, Any]) -> None:
    for message in body["messages"]:
        for at, block in enumerate(message["content"]):
            said = block.get("reasoningContent", {}).get("reasoningText")
            if said and said.get("signature") != _signature(said["text"]):
                raise Refused("ValidationException", "Invalid `signature` in `thinking` block")
            if said and at:
                raise Refused("ValidationException", "A thinking block must come first.")


def _cached(body: Mapping[str, Any], region: str, seen: set[str]) -> dict[str, int]:
    blocks = [("system", block) for block in body.get("system", ())]
    blocks += [(message["role"], block) for message in body["messages"] for block in message["content"]]
    last = max((at for at, (_, block) in enumerate(blocks) if "cachePoint" in block), default=None)
    if last is None:
        return {}
    prefix = json.dumps(blocks[:last])
    digest, tokens = hashlib.sha256(f"{region} {prefix}".encode()).hexdigest(), len(prefix) // 4
    known = digest in seen
    seen.add(digest)
    return {"cacheReadInputTokens": tokens * known, "cacheWriteInputTokens": tokens * (not known)}
