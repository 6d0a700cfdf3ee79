"""OpenAI's older text completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from subsecond.dialects.choices import Choices
from subsecond.dialects.dialect import Body


class Completions(Choices):
    """`POST /v1/completions` and its relatives."""

    endpoint = "text"
    name = "OpenAI's text completions API"
    path = "/completions"

    def split(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        prompt = body.get("prompt")
        return ({**body, "prompt": _blanks(prompt)}, [prompt]) if isinstance(prompt, str) else (body, [])

    def turns(self, body: Body) -> Sequence[Mapping[str, Any]]:
        prompt = body.get("prompt")
        return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else []

    def goes_on(self, text: str) -> bool:
        from subsecond.dialects.code_text import looks_like_code  # its table, not for a hit

        return looks_like_code(text)


def _blanks(prompt: str) -> list[str]:
    """The blanks at the ends of a plain prompt. The model goes on where it ends: behind a blank is another place."""
    text = prompt.strip()
    return prompt.split(text) if text else [prompt]


DIALECT = Completions()
