"""What the clients' programs share: one JSON line in says what to do, one JSON line out says what the client saw.

In:  {"do": "whole", "base_url": ..., "key": ..., "model": ..., "prompt": ..., ...}
Out: {"text": ..., "usage": ..., ...}, or {"error": {"class": ..., "status": ..., "message": ...}} when the client
     raised what it documents for failed requests, or {"crash": traceback} for anything else.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Errors = type[Exception] | tuple[type[Exception], ...]

# Every client sends the same, so that the simulator gives each of them the same answer.
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


# A dot.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = f"data:image/png;base64,{PIXEL}"
QUESTION = "And why?"


def instructions() -> str:
    """What the clients of other dialects say first."""
    return "You are brief."


def result_of(arguments: Mapping[str, Any]) -> str:
    """What the tool says."""
    return f"{arguments['city']}: {arguments['days']} days of rain"


def questions(prompt: str, turns: int) -> list[str]:
    """What the user of an agent asks, one after the other."""
    return [f"{prompt} Day {number}: the weather in Rome, and the weather in Oslo?" for number in range(turns)]


def messages(prompt: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": "You are brief."}, {"role": "user", "content": prompt}]


def usage(found: Any) -> dict[str, int] | None:
    """OpenAI's usage object in the words of the tests."""
    if found is None:
        return None
    return {"prompt": found.prompt_tokens, "completion": found.completion_tokens, "total": found.total_tokens}


def serve(actions: Mapping[str, Callable[..., dict[str, Any]]], errors: Errors) -> None:
    """Until stdin ends."""
    # Some clients print hints: they go to stderr, and only answers to stdout.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            words = json.loads(line)
            answers.write(json.dumps(_answer(actions[words.pop("do")], words, errors)) + "\n")
            answers.flush()


def _answer(action: Callable[..., dict[str, Any]], words: dict[str, Any], errors: Errors) -> dict[str, Any]:
    try:
        return action(**words)
    except errors as error:
        status = getattr(error, "status_code", None)
        return {"error": {"class": type(error).__name__, "status": status, "message": str(error)}}
    except Exception:  # noqa: BLE001 - the test is told, and fails with it
        return {"crash": traceback.format_exc()}
