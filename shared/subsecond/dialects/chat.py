"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from subsecond.dialects.choices import Choices
from subsecond.dialects.dialect import Body
from subsecond.dialects.parts import SYSTEM, edited, shape_and_texts, texts_in


class Chat(Choices):
    """`POST /v1/chat/completions`."""

    endpoint = "chat"
    name = "OpenAI's chat completions API"
    path = "/chat/completions"

    def split(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        messages = body.get("messages") or []
        if not messages or messages[-1].get("role") != "user":
            return body, []
        shape, texts = shape_and_texts(messages[-1].get("content"), ("text",))
        return {**body, "messages": [*messages[:-1], {**messages[-1], "content": shape}]}, texts

    def turns(self, body: Body) -> Sequence[Mapping[str, Any]]:
        messages = body.get("messages")
        return [one for one in messages if isinstance(one, Mapping)] if isinstance(messages, list) else []

    def system_texts(self, body: Body) -> Iterator[tuple[str, str]]:
        for at, message in enumerate(body.get("messages") or ()):
            if message.get("role") in SYSTEM:
                yield from ((f"messages[{at}]", text) for text in texts_in(message.get("content")))

    def with_system_texts(self, body: dict[str, Any], edit: Callable[[str], str]) -> dict[str, Any]:
        messages = [
            {**one, "content": edited(one.get("content"), edit)} if one.get("role") in SYSTEM else one
            for one in body.get("messages") or ()
        ]
        return {**body, "messages": messages}


DIALECT = Chat()
