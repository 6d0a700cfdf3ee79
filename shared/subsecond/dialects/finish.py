"""Why an answer ended: OpenAI's words, those of other servers, and which of them may be stored before which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

UNFINISHED = "unknown"
FILTERED = "content_filter"
REFUSED = "refusal"
EMPTY = "empty"
# From most to least storable: of several choices the least storable one speaks for the answer.
RANKS = ("stop", "length", "tool_calls", "function_call", EMPTY, REFUSED, FILTERED, UNFINISHED)

# Finish words of servers that speak OpenAI's dialect or nearly, in lower case, and OpenAI's word for them.
WORDS: Mapping[str, str] = {
    "stop": "stop",  # OpenAI; Gemini and Vertex in capitals
    "finish_reason_stop": "stop",  # Gemini through gRPC gateways
    "end": "stop",  # Fireworks, older SGLang
    "eos": "stop",  # Together, DeepInfra, Mistral's first servers
    "eos_token": "stop",  # Text Generation Inference, watsonx
    "stop_sequence": "stop",  # Anthropic, Text Generation Inference, watsonx
    "stop_str": "stop",  # SGLang
    "end_turn": "stop",  # Anthropic, Bedrock
    "end_of_turn": "stop",  # llamafile
    "complete": "stop",  # Cohere
    "completed": "stop",  # Responses behind adapters
    "normal": "stop",  # ERNIE
    "length": "length",  # OpenAI
    "max_tokens": "length",  # Anthropic, Cohere, Gemini, watsonx
    "finish_reason_max_tokens": "length",  # Gemini through gRPC gateways
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Anthropic
    "token_limit": "length",  # watsonx
    "tool_calls": "tool_calls",  # OpenAI
    "tool_call": "tool_calls",  # Cohere
    "tool_use": "tool_calls",  # Anthropic, Bedrock
    "function_call": "function_call",  # OpenAI
    "content_filter": FILTERED,  # OpenAI, Azure
    "content_filtered": FILTERED,  # Bedrock
    "guardrail_intervened": FILTERED,  # Bedrock
    "sensitive": FILTERED,  # Zhipu
    "safety": FILTERED,  # Gemini, as the next ones
    "recitation": FILTERED,
    "blocklist": FILTERED,
    "prohibited_content": FILTERED,
    "spii": FILTERED,
    "refusal": REFUSED,  # Anthropic
}


def least_storable(finishes: Iterable[str]) -> str:
    """`unknown` where there is none."""
    return max(finishes, key=RANKS.index, default=UNFINISHED)


def finish_word(reason: object) -> str | None:
    """OpenAI's word; None for one that says nothing: some servers send "" or "null" until the end."""
    if reason is None or reason in ("", "null"):
        return None
    return WORDS.get(reason.lower(), UNFINISHED) if isinstance(reason, str) else UNFINISHED
