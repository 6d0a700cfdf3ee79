"""curl: the wire as it is. `raw` gives it to the tests unread."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from loop import TOOL, messages, serve


class CurlError(Exception):
    """A response with another status than 200; its body's `error`."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(json.loads(body)["error"]["message"])
        self.status_code = status


def raw(base_url: str, key: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile() as headers:
        command = [*_command(base_url, key, path, body), "-D", headers.name, "-w", "\n%{http_code}"]
        ran = subprocess.run(command, capture_output=True, check=True, timeout=60)
        told = Path(headers.name).read_text()
    found, _, status = ran.stdout.decode().rpartition("\n")
    pairs = (line.partition(":") for line in told.splitlines()[1:] if line)
    return {"status": int(status), "headers": {name.lower(): value.strip() for name, _, value in pairs}, "body": found}


def _command(base_url: str, key: str, path: str, body: dict[str, Any] | None) -> list[str]:
    command = ["curl", "-sSN", "--max-time", "30", base_url + path, "-H", f"Authorization: Bearer {key}"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return command


def _json(base_url: str, key: str, path: str, body: dict[str, Any] | None = None) -> tuple[Any, dict[str, str]]:
    seen = raw(base_url, key, path, body)
    if seen["status"] != 200:
        raise CurlError(seen["status"], seen["body"])
    return json.loads(seen["body"]), seen["headers"]


def _chunks(base_url: str, key: str, body: dict[str, Any]) -> list[Any]:
    seen = raw(base_url, key, "/chat/completions", body | {"stream": True})
    if seen["status"] != 200:
        raise CurlError(seen["status"], seen["body"])
    *lines, last = [line.removeprefix("data: ") for line in seen["body"].split("\n") if line]
    if "error" in (ending := {} if last == "[DONE]" else json.loads(last)):
        raise CurlError(200, json.dumps(ending))
    return [json.loads(line) for line in lines]


def models(base_url: str, key: str) -> dict[str, Any]:
    return {"models": [model["id"] for model in _json(base_url, key, "/models")[0]["data"]]}


def whole(base_url: str, key: str, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": messages(prompt), **fields}
    found, headers = _json(base_url, key, "/chat/completions", body)
    choice = found["choices"][0]
    return {
        "text": choice["message"]["content"],
        "finish": choice["finish_reason"],
        "usage": _usage(found),
        "cache": headers.get("cache-status"),
    }


def stream(base_url: str, key: str, model: str, prompt: str, *, asked: bool) -> dict[str, Any]:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = _chunks(base_url, key, {"model": model, "messages": messages(prompt), "temperature": 0, **options})
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    return {
        "pieces": [choice["delta"]["content"] for choice in choices if choice["delta"].get("content")],
        "finish": choices[-1]["finish_reason"],
        "usage": next(filter(None, map(_usage, chunks)), None),
        "ids": len({chunk["id"] for chunk in chunks}),
    }


def tool(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    body = {"model": model, "messages": messages(prompt), "tools": [TOOL], "tool_choice": "required"}
    choice = _json(base_url, key, "/chat/completions", body)[0]["choices"][0]
    deltas = [chunk["choices"][0]["delta"] for chunk in _chunks(base_url, key, body)]
    calls = [delta["tool_calls"][0]["function"] for delta in deltas if delta.get("tool_calls")]
    called = choice["message"]["tool_calls"][0]["function"]
    return {
        "name": called["name"],
        "arguments": json.loads(called["arguments"]),
        "finish": choice["finish_reason"],
        "streamed": {
            "name": "".join(call.get("name", "") for call in calls),
            "arguments": json.loads("".join(call.get("arguments", "") for call in calls)),
        },
    }


def embed(base_url: str, key: str, model: str, texts: list[str]) -> dict[str, Any]:
    found, _ = _json(base_url, key, "/embeddings", {"model": model, "input": texts})
    return {"vectors": [one["embedding"] for one in found["data"]], "tokens": found["usage"]["total_tokens"]}


def leave(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    """Hang up after two pieces of a stream that does not end."""
    body = {"model": model, "messages": messages(prompt), "stream": True}
    pieces = []
    with subprocess.Popen(_command(base_url, key, "/chat/completions", body), stdout=subprocess.PIPE) as child:
        while len(pieces) < 2:
            line = child.stdout.readline().decode()
            delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"] if line.strip() else {}
            if delta.get("content"):
                pieces.append(delta["content"])
        child.terminate()
    return {"pieces": pieces}


def _usage(found: dict[str, Any]) -> dict[str, int] | None:
    told = found.get("usage")
    if told is None:
        return None
    return {"prompt": told["prompt_tokens"], "completion": told["completion_tokens"], "total": told["total_tokens"]}


if __name__ == "__main__":
    served = {"raw": raw, "models": models, "whole": whole, "stream": stream, "tool": tool, "embed": embed}
    serve({**served, "leave": leave}, CurlError)
