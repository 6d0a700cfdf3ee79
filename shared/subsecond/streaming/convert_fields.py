"""The table of the converter: which fields go over from one form of an answer to the other, and how.

A field that is not in it makes a recording unfit for the other form. Null, "", [] and {} are no value anywhere, and go
over as nothing. What stands here was compared in both forms, as the server named beside it sends them.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

Rule: TypeAlias = Literal[
    "first",  # every chunk names it: the first name that is not empty counts, as in openai-python
    "last",  # it grows or comes late: what was said last counts
    "same",  # the same wherever it stands: two values decline
    "text",  # a string whose pieces are joined
    "lists",  # an object of lists whose pieces are joined
    "calls",  # tool calls, by index and id
    "call",  # the older function call
    "message",  # a message beside or behind deltas, which may only repeat them
    "items",  # a list that grows; one that begins again declines
    "once",  # a list that comes whole; a second piece of it declines
    "repeat",  # the text once more, beside the delta
    "place",  # which of several it is
    "object",  # the form's own name
    "choices",
    "delta",
    "request",  # Groq's id of the request
    "drop",  # padding of chunks, and what only repeats the request
]
Fields: TypeAlias = dict[str, Rule]

TOP: Final[Fields] = {
    "id": "first",
    "object": "object",
    "created": "first",
    "model": "first",
    "provider": "first",  # OpenRouter: who answered, in every chunk and in the whole reply
    "system_fingerprint": "last",
    "service_tier": "last",  # OpenAI: "auto" may become the tier that was used
    "usage": "last",
    "moderation": "last",  # OpenAI: a chunk of its own; the same object in the whole reply
    # Perplexity and xAI send them alike in both forms; in a stream the list so far, in some or in all chunks.
    "citations": "last",
    "search_results": "last",
    "related_questions": "last",
    "images": "last",
    # Azure: in the first chunk, and at the same place of the whole reply; the second is the older name.
    "prompt_filter_results": "last",
    "prompt_annotations": "last",
    "timings": "last",  # llama.cpp: with the end, and in the whole reply; asked for, in every chunk, the last counts
    "perf_metrics": "last",  # Fireworks, where asked for: with the end, and in the whole reply
    "x_groq": "request",
    "choices": "choices",
    "obfuscation": "drop",  # OpenAI, chunks alone
    "p": "drop",  # Mistral and Cloudflare, chunks alone
    "lastOne": "drop",  # LongCat, chunks alone: the end
    # Whole replies alone: OpenAI's echo of the request's, SGLang's version of the weights. Their streams have none.
    "metadata": "drop",
}
CHAT_CHOICE: Final[Fields] = {
    "index": "place",
    "delta": "delta",
    "message": "message",
    "finish_reason": "last",
    "logprobs": "lists",
    # The next ones stand in the whole reply's choice as in the chunk that ends the choice.
    "stop_reason": "last",  # vLLM
    "matched_stop": "last",  # SGLang
    "native_finish_reason": "last",  # OpenRouter
    "seed": "last",  # Together
    "text": "repeat",  # Together
    "content_filter_results": "same",  # Azure: beside each piece of text, and in the whole reply
    "usage": "last",  # Moonshot: in the choice that ends, beside the chunk that OpenAI's dialect has
}
TEXT_CHOICE: Final[Fields] = {
    "index": "place",
    "text": "text",
    "finish_reason": "last",
    "logprobs": "lists",
    "stop_reason": "last",
    "matched_stop": "last",
    "native_finish_reason": "last",
    "seed": "last",
    "content_filter_results": "same",
}
# Of a delta, and of a message.
MESSAGE: Final[Fields] = {
    "role": "first",
    "reasoning_content": "text",  # DeepSeek, vLLM
    "reasoning": "text",  # OpenRouter, Groq, newer vLLM
    "content": "text",
    "refusal": "text",
    "tool_calls": "calls",
    "function_call": "call",
    "annotations": "items",  # OpenAI and OpenRouter: the sources, in deltas behind their text
    "images": "items",  # OpenRouter
    # OpenRouter: blocks of thoughts, sealed or signed. How a block in pieces is put together differs by model.
    "reasoning_details": "once",
    "token_id": "drop",  # Together, deltas alone
}
# Values that say nothing. Mistral's whole messages: nothing was continued. Groq's deltas: that reasoning is reasoning.
SAYS_NOTHING: Final[dict[str, Any]] = {"prefix": False, "channel": "analysis"}
CALL: Final[Fields] = {
    "index": "place",
    "id": "same",
    "type": "same",
    "function": "call",
    "extra_content": "same",  # Gemini: the signature of the thoughts behind a call
}
FUNCTION: Final[Fields] = {"name": "same", "arguments": "text"}
LOGPROBS: Final[dict[str, frozenset[str]]] = {
    "chat": frozenset({"content", "refusal", "reasoning_content"}),  # the last one: DeepSeek
    "text": frozenset({"tokens", "token_logprobs", "top_logprobs", "text_offset"}),
}
# In every chunk of an answer.
FRAME: Final[tuple[str, ...]] = ("id", "object", "created", "model", "provider", "system_fingerprint", "service_tier")


class Declined(Exception):
    """It does not go over. The text names the field, for whoever looks into it."""


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def rule(fields: Fields, name: str, value: Any) -> Rule:
    """How it goes over; what is unknown and empty is dropped."""
    if name in fields:
        return fields[name]
    if is_empty(value) or SAYS_NOTHING.get(name) == value:
        return "drop"
    raise Declined(name)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Declined("text")
    return value


def object_(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Declined("object")
    return value


def list_(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Declined("list")
    return value


def place(value: Any, default: int) -> int:
    """A choice's or call's number."""
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Declined("index")
    return value
