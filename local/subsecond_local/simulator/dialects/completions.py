"""OpenAI's chat completions and text completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from subsecond.errors import UpstreamError
from subsecond_local.simulator.dialects.dialect import Dialect, Memory
from subsecond_local.simulator.names import refusal
from subsecond_local.simulator.question import (
    CHOICES,
    Question,
    Tool,
    check_kinds,
    chosen,
    schema_of,
    stops_of,
    text_of,
)
from subsecond_local.simulator.simulated_answer import Choice, Move, Part, Payload, SimulatedAnswer, as_json, encode

_KINDS: Mapping[str, tuple[type, ...]] = {
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "n": (int,),
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": (list,),
    "parallel_tool_calls": (bool,),
    "reasoning_effort": (str,),
}
_POSITIVE = ("n", "max_tokens", "max_completion_tokens")


def read_chat(body: Mapping[str, Any], memory: Memory) -> Question:
    """UpstreamError 400 for what OpenAI refuses."""
    del memory
    messages = _messages(body)
    tools = tuple(Tool(function["name"], function.get("parameters")) for function in _functions(body))
    return Question(
        **_common(body),
        prompts=(messages,),
        counted=[messages],
        turn=text_of(messages[-1].get("content")) if messages[-1]["role"] == "user" else "",
        tools=tools,
        choice=chosen(_choice(body.get("tool_choice")), tools),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=schema_of(body.get("response_format"), "response_format"),
        thinks=body.get("reasoning_effort") not in (None, "none"),
    )


def read_text(body: Mapping[str, Any], memory: Memory) -> Question:
    """UpstreamError 400 for what OpenAI refuses."""
    del memory
    prompts = texts_of(body.get("prompt"), "prompt")
    return Question(**_common(body), prompts=tuple(prompts), counted=prompts)


def _common(body: Mapping[str, Any]) -> dict[str, Any]:
    check_kinds(body, _KINDS, _POSITIVE)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return {"limit": limit, "count": body.get("n") or 1, "stops": stops_of(body.get("stop"), "stop")}


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refusal("'messages' must be a list that is not empty.", param="messages", code="invalid_type")
    called: set[str] = set()
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise refusal(f"'messages[{at}]' must be an object with a role.", param=f"messages[{at}]")
        if not isinstance(message.get("content"), str | list | None):
            raise refusal("'content' must be a string or a list.", param=f"messages[{at}].content")
        called |= {str(call.get("id")) for call in message.get("tool_calls") or [] if isinstance(call, dict)}
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            words = "Messages with role 'tool' must answer a call of an earlier message."
            raise refusal(words, param=f"messages[{at}].tool_call_id")
    return messages


def _functions(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    functions = [tool.get("function") for tool in body.get("tools") or [] if isinstance(tool, dict)]
    allowed = _allowed(body.get("tool_choice"))
    found = [one for one in functions if isinstance(one, dict) and isinstance(one.get("name"), str)]
    return [one for one in found if allowed is None or one["name"] in allowed]


def _allowed(choice: Any) -> set[str] | None:
    """The functions that `allowed_tools` leaves; None where it leaves all."""
    told = choice.get("allowed_tools") if isinstance(choice, dict) else None
    tools = told.get("tools") if isinstance(told, dict) else None
    if not isinstance(tools, list):
        return None
    return {str((tool.get("function") or tool).get("name")) for tool in tools if isinstance(tool, dict)}


def _choice(choice: Any) -> str:
    if isinstance(choice, dict) and isinstance(choice.get("allowed_tools"), dict):
        choice = choice["allowed_tools"].get("mode")
    if isinstance(choice, dict):
        wanted = choice.get("function")
        return str(wanted.get("name")) if isinstance(wanted, dict) else ""
    return "auto" if choice is None else choice if choice in CHOICES else ""


def texts_of(value: Any, param: str) -> list[Any]:
    """One item for each text: a string or a list of token numbers."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, int) for item in value):
            return [value]
        if all(isinstance(item, str) for item in value) or all(isinstance(item, list) and item for item in value):
            return value
    raise refusal(f"'{param}' must be a string, a list of strings, or token arrays.", param=param, code="invalid_type")


def whole(answer: SimulatedAnswer) -> dict[str, Any]:
    """The completion object."""
    choices = [_whole_choice(answer, index, choice) for index, choice in _numbered(answer)]
    kind = "chat.completion" if answer.endpoint == "chat" else "text_completion"
    return _head(answer, kind) | {"choices": choices, "usage": _usage(answer)}


def steps(answer: SimulatedAnswer, *, usage: bool) -> Iterator[list[Payload]]:
    """The chunks by token; the last step closes the answer. `usage`: with a usage chunk."""
    head = encode(_head(answer, "chat.completion.chunk" if answer.endpoint == "chat" else "text_completion"))[:-1]
    # Like OpenAI's server: with include_usage, every chunk has the field, null in all but the last.
    tail = ',"usage":null}' if usage else "}"
    speakers = [_Speaker(answer, index, choice) for index, choice in _numbered(answer)]
    played = [choice.moves(len(answer.times)) for choice in answer.choices]
    for number in range(len(answer.times) + 1):
        bodies = [speaker.opening() for speaker in speakers] if number == 0 else []
        for speaker, moves in zip(speakers, played, strict=True):
            bodies += [speaker.said(move) for move in next(moves)]
        if number == len(answer.times):
            bodies += [speaker.closing() for speaker in speakers]
        payloads = [_chunk(head, body, tail) for body in bodies if body]
        if usage and number == len(answer.times):
            last = f'{head},"choices":[],"usage":{encode(_usage(answer))}}}'
            payloads.append(Payload(last.encode("utf-8", "backslashreplace")))
        yield payloads


class _Speaker:
    """One choice's chunks, but for what all chunks have."""

    def __init__(self, answer: SimulatedAnswer, index: int, choice: Choice) -> None:
        self._answer = answer
        self._index = index
        self._choice = choice
        self._calls = -1

    def opening(self) -> str:
        """The role, and the first call where nothing is said before it."""
        if self._answer.endpoint == "text":
            return ""
        spoken = [part for part in self._choice.parts if part.kind != "thought"]
        delta: dict[str, Any] = {"role": "assistant", "content": ""}
        if spoken and spoken[0].kind == "call":
            self._calls = 0
            delta = {"role": "assistant", "content": None, "tool_calls": [self._call(spoken[0])]}
        return self._delta(delta)

    def said(self, move: Move) -> str:
        part = self._choice.parts[move.at]
        if part.kind == "thought" or move.kind == "close":
            return ""
        if move.kind == "open":
            return self._opened(part, move.at)
        text = encode(move.piece)
        if self._answer.endpoint == "text":
            body = f'"text":{text}'
        elif part.kind == "text":
            body = f'"delta":{{"content":{text}}}'
        else:
            body = f'"delta":{{"tool_calls":[{{"index":{self._calls},"function":{{"arguments":{text}}}}}]}}'
        return f'"index":{self._index},{body},"logprobs":null,"finish_reason":null'

    def closing(self) -> str:
        body = '"text":""' if self._answer.endpoint == "text" else '"delta":{}'
        return f'"index":{self._index},{body},"logprobs":null,"finish_reason":"{self._choice.finish}"'

    def _opened(self, part: Part, at: int) -> str:
        first = next(number for number, one in enumerate(self._choice.parts) if one.kind != "thought")
        if part.kind == "text" or at == first:
            return ""
        self._calls += 1
        return self._delta({"tool_calls": [self._call(part)]})

    def _call(self, part: Part) -> dict[str, Any]:
        return {"index": self._calls, **_call(self._answer, self._index, self._calls, part.name, "")}

    def _delta(self, delta: dict[str, Any]) -> str:
        return f'"index":{self._index},"delta":{encode(delta)},"logprobs":null,"finish_reason":null'


def _numbered(answer: SimulatedAnswer) -> list[tuple[int, Choice]]:
    return [(0 if "sameindex" in answer.faults else index, choice) for index, choice in enumerate(answer.choices)]


def _head(answer: SimulatedAnswer, kind: str) -> dict[str, Any]:
    prefix = "chatcmpl" if answer.endpoint == "chat" else "cmpl"
    return {
        "id": f"{prefix}-{answer.identity}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
    }


def _usage(answer: SimulatedAnswer) -> dict[str, Any]:
    used = answer.usage
    counted: dict[str, Any] = {"prompt_tokens": used.asked, "completion_tokens": used.answered}
    counted |= {"total_tokens": used.asked + used.answered, "prompt_tokens_details": {"cached_tokens": 0}}
    return counted | ({"completion_tokens_details": {"reasoning_tokens": used.thought}} if used.thought else {})


def _call(answer: SimulatedAnswer, index: int, number: int, name: str, arguments: str) -> dict[str, Any]:
    identity = f"call_{answer.identity}{index or ''}{chr(97 + number) if number else ''}"
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _whole_choice(answer: SimulatedAnswer, index: int, choice: Choice) -> dict[str, Any]:
    text = "".join(part.text for part in choice.of("text"))
    ending = {"logprobs": None, "finish_reason": choice.finish}
    if answer.endpoint == "text":
        return {"index": index, "text": text} | ending
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls := choice.of("call"):
        told = [_call(answer, index, number, part.name, part.text) for number, part in enumerate(calls)]
        message |= {"content": None, "tool_calls": told}
    return {"index": index, "message": message} | ending


def _chunk(head: str, body: str, tail: str) -> Payload:
    return Payload(f'{head},"choices":[{{{body}}}]{tail}'.encode("utf-8", "backslashreplace"))


def error_body(error: UpstreamError) -> dict[str, Any]:
    """OpenAI's error object, of every route but Messages."""
    return error.body()


def error_event(error: UpstreamError, sent: int) -> Payload:
    """The error as an event of a stream that has begun."""
    del sent
    return Payload(as_json(error.body()))


CHAT = Dialect(read_chat, whole, steps, error_body, error_event, last=b"data: [DONE]\n\n")
TEXT = Dialect(read_text, whole, steps, error_body, error_event, last=b"data: [DONE]\n\n")
