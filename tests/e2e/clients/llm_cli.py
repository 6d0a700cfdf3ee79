"""The `llm` command line, one process an action.

Each is forked from this one, which has imported the command already: that alone takes most of a second. Its stdout is a
socket that keeps writes apart, so that its pieces can be told however late they are read. Linux has both.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from loop import serve

# No plugins: they could bring models, and what a plugin lacks would stop the command. It is read at import.
os.environ["LLM_LOAD_PLUGINS"] = ""
from llm.cli import cli

CRASHED = 70


class LlmError(Exception):
    """The command failed; its words, and the status that they tell."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        told = re.search(r"Error code: (\d+)", words)
        self.status_code = int(told[1]) if told else None


def models(base_url: str, key: str) -> dict[str, Any]:
    pieces, _ = _run("openai", "endpoint", base_url, "--key", key, "--models")
    return {"models": "".join(pieces).split()}


def whole(base_url: str, key: str, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
    options = [word for name, value in fields.items() for word in ("-o", name, str(value))]
    pieces, aside = _run(*_prompted(base_url, key, model), "--no-stream", *options, prompt)
    return {"text": "".join(pieces).removesuffix("\n"), "usage": _usage(aside)}


def stream(base_url: str, key: str, model: str, prompt: str, *, asked: bool) -> dict[str, Any]:
    """It always asks for usage; `asked` is whether it is shown."""
    pieces, aside = _run(*_prompted(base_url, key, model), "-o", "temperature", "0", prompt)
    # The last is its line's end.
    return {"pieces": [piece for piece in pieces if piece != "\n"], "usage": _usage(aside) if asked else None}


def leave(base_url: str, key: str, model: str, prompt: str) -> dict[str, Any]:
    """Hang up after two pieces of a stream that does not end."""
    pieces, _ = _run(*_prompted(base_url, key, model), prompt, leave_after=2)
    return {"pieces": pieces}


def _prompted(base_url: str, key: str, model: str) -> list[str]:
    """`-u` prints the usage; a model with a URL of its own is configured, as `llm openai endpoint` has no `-u`."""
    known = [{"model_id": "tested", "model_name": model, "api_base": base_url, "api_key_name": "tested"}]
    # JSON is YAML.
    (Path(os.environ["LLM_USER_PATH"]) / "extra-openai-models.yaml").write_text(json.dumps(known))
    return ["prompt", "-m", "tested", "--key", key, "-u", "-n", "-s", "You are brief."]


def _run(*words: str, leave_after: int = 0) -> tuple[list[str], str]:
    """What it wrote to stdout, piece by piece, and to stderr. Raises LlmError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, tempfile.TemporaryFile("w+") as aside:
        with theirs:
            child = os.fork()
            if not child:
                _become(theirs.fileno(), aside.fileno(), words)
        pieces = []
        while piece := ours.recv(65536):
            pieces.append(piece.decode())
            if len(pieces) == leave_after:
                os.kill(child, signal.SIGTERM)
                break
        _, status = os.waitpid(child, 0)
        aside.seek(0)
        told = aside.read()
    code = os.waitstatus_to_exitcode(status)
    if code == CRASHED:
        raise RuntimeError(told)
    if code > 0:
        raise LlmError(told.strip())
    return pieces, told


def _become(stdout: int, stderr: int, words: tuple[str, ...]) -> None:
    """Be the command, in the forked process, to its end."""
    code: Any = CRASHED
    try:
        # It would take what stdin holds for a part of the prompt.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        cli.main(words, prog_name="llm")
    except SystemExit as end:
        code = end.code or 0
    except Exception:  # noqa: BLE001 - told by the parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _usage(told: str) -> dict[str, int] | None:
    found = re.search(r"Token usage: ([\d,]+) input, ([\d,]+) output", told)
    if found is None:
        return None
    asked, answered = (int(number.replace(",", "")) for number in found.groups())
    return {"prompt": asked, "completion": answered, "total": asked + answered}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLM_USER_PATH"] = folder
        serve({"models": models, "whole": whole, "stream": stream, "leave": leave}, LlmError)
