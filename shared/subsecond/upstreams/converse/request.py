"""An OpenAI body to Converse's request. What it cannot carry is a 400 that names the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from subsecond.errors import InvalidRequest
from subsecond.model import Call
from subsecond.upstreams.converse.content import Conversation, prompt_message, unsupported
from subsecond.upstreams.converse.families import Family
from subsecond.upstreams.converse.tools import tool_fields

# Fields that speak to the provider and not to the model: Converse has nothing like them, and nothing is lost.
DROPPED: Final = frozenset({
    "user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "cache_control",
    "cachePoint",
})  # fmt: skip
# Fields that are carried at one value only: what goes without saying.
NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "echo": (False,),
    "modalities": (["text"],),
    "verbosity": ("medium",),
}
# Fields that are carried, and what their values must be; Bedrock says what else it wants.
CARRIED: Final[Mapping[str, type | tuple[type, ...]]] = {
    "model": str,
    "messages": list,
    "prompt": object,
    "max_tokens": int,
    "max_completion_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": int,
    "stop": (str, list),
    "tools": list,
    "tool_choice": (str, Mapping),
    "parallel_tool_calls": bool,
    "response_format": Mapping,
    "reasoning_effort": str,
    "thinking": Mapping,
    "service_tier": str,
    "additionalModelRequestFields": Mapping,
}
LEAST: Final = {"max_tokens": 1, "max_completion_tokens": 1, "temperature": 0, "top_p": 0}
# Tokens that an older Claude may think for; it takes no fewer than 1,024.
BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768}
_LEVELS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
LEAST_BUDGET: Final = 1024
# None: Bedrock's own choice.
TIERS: Final = {"auto": None, "default": "default", "flex": "flex", "priority": "priority"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator sets. max_tokens: of an answer, where the request does not say: without any, Bedrock reserves
    the quota of the model's longest. guardrail: its id and version, or empty."""

    max_tokens: int = 4096
    guardrail: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """content: the body of Converse's request. schema_tool: the tool in whose input the answer comes."""

    content: dict[str, Any]
    schema_tool: str | None = None


def converse_request(call: Call, family: Family, terms: Terms) -> Asked:
    """InvalidRequest names what cannot be carried."""
    body = call.body
    _check(body)
    messages = prompt_message(body.get("prompt")) if call.endpoint == "text" else body.get("messages")
    conversation = Conversation(messages, caches=family.caches, thinks=family.thinks)
    tools, schema_tool = tool_fields(body, family, used=conversation.uses_tools)
    thinking, effort, budget = _reasoning(body, family)
    if "thinking" in thinking:
        _check_unforced(tools, schema_tool)
    content: dict[str, Any] = {"messages": conversation.messages, "inferenceConfig": _inference(body, terms, budget)}
    if conversation.system:
        content["system"] = conversation.system
    content |= tools
    if effort:
        content["outputConfig"] = {**content.get("outputConfig", {}), "effort": effort}
    if more := thinking | _more(body, family, tools):
        content["additionalModelRequestFields"] = more
    if terms.guardrail:
        identifier, version = terms.guardrail
        content["guardrailConfig"] = {"guardrailIdentifier": identifier, "guardrailVersion": version}
    if tier := _tier(body.get("service_tier") or "auto"):
        content["serviceTier"] = {"type": tier}
    return Asked(content, schema_tool)


def _check_unforced(tools: Mapping[str, Any], schema_tool: str | None) -> None:
    """A Claude that thinks cannot be made to use a tool."""
    if {"any", "tool"} & tools.get("toolConfig", {}).get("toolChoice", {}).keys():
        param = "response_format" if schema_tool else "tool_choice"
        raise unsupported(param, "while it thinks this model cannot be made to use a tool.")


def _tier(name: str) -> str | None:
    if name not in TIERS:
        raise unsupported("service_tier", f"it is one of {', '.join(TIERS)}.")
    return TIERS[name]


def _check(body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        if name in DROPPED or value is None:
            continue
        if name in CARRIED:
            kinds = CARRIED[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and kinds not in (bool, object)):
                raise InvalidRequest(f"'{name}' has the wrong type: {type(value).__name__}.", param=name)
            if isinstance(value, int | float) and value < LEAST.get(name, value):
                raise InvalidRequest(f"'{name}' must be at least {LEAST[name]}.", param=name)
        elif value not in ("", [], {}) and value not in NEUTRAL.get(name, ()):
            raise unsupported(name, "leave it out." if name in NEUTRAL else "Converse has no such field.")


def _inference(body: Mapping[str, Any], terms: Terms, budget: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"maxTokens": _limit(body) or terms.max_tokens + budget}
    for name, theirs in (("temperature", "temperature"), ("top_p", "topP")):
        if body.get(name) is not None:
            fields[theirs] = body[name]
    if stop := body.get("stop"):
        stops = [stop] if isinstance(stop, str) else stop
        if not all(isinstance(one, str) and one for one in stops):
            raise unsupported("stop", "it is a text, or a list of texts.")
        fields["stopSequences"] = stops
    return fields


def _limit(body: Mapping[str, Any]) -> int | None:
    return body.get("max_completion_tokens") or body.get("max_tokens")


def _reasoning(body: Mapping[str, Any], family: Family) -> tuple[dict[str, Any], str, int]:
    """The model's own fields; Converse's effort, or ""; the tokens that thinking takes beside the answer's."""
    if thinking := body.get("thinking"):
        if not family.thinks:
            raise unsupported("thinking", "this model has no such field.")
        budget = thinking.get("budget_tokens")
        return {"thinking": dict(thinking)}, "", budget if isinstance(budget, int) else 0
    effort = body.get("reasoning_effort")
    if effort in (None, "none"):
        return {}, "", 0
    if effort not in BUDGETS:
        raise unsupported("reasoning_effort", f"it is one of none, {', '.join(BUDGETS)}.")
    if family.nova_2:
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _LEVELS[effort]}}, "", 0
    if not family.thinks:
        raise unsupported("reasoning_effort", "this model has no such dial.")
    if family.adapts:
        return {"thinking": {"type": "adaptive"}}, "low" if effort == "minimal" else effort, BUDGETS[effort]
    budget = _budget(body, effort)
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}, "", budget


def _budget(body: Mapping[str, Any], effort: str) -> int:
    """The tokens to think with: fewer than all that the answer may have."""
    budget = BUDGETS[effort]
    if limit := _limit(body):
        budget = min(budget, limit - 1)
        if budget < LEAST_BUDGET:
            raise unsupported("reasoning_effort", f"thinking takes more than {LEAST_BUDGET} tokens of max_tokens.")
    return budget


def _more(body: Mapping[str, Any], family: Family, tools: Mapping[str, Any]) -> dict[str, Any]:
    """What only some models have, in Bedrock's field for it; the client's own go last."""
    more: dict[str, Any] = {}
    if (top_k := body.get("top_k")) is not None:
        if not (family.claude or family.nova):
            raise unsupported("top_k", "this model's name for it is not known: use additionalModelRequestFields.")
        more |= {"top_k": top_k} if family.claude else {"inferenceConfig": {"topK": top_k}}
    if body.get("parallel_tool_calls") is False and "toolConfig" in tools:
        if not family.one_tool_at_a_time or "auto" not in tools["toolConfig"].get("toolChoice", {}):
            raise unsupported("parallel_tool_calls", "this model cannot be told so, or not with this tool_choice.")
        more["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    return more | dict(body.get("additionalModelRequestFields") or {})
