"""From a request to its answer: validation, text, tool calls, vectors."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import struct
from collections import Counter
from statistics import NormalDist
from time import time
from typing import TYPE_CHECKING, Any

from subsecond_local.simulator.names import Profile, header_faults, profile, refusal
from subsecond_local.simulator.simulated_answer import Choice, SimulatedAnswer, as_json, encode
from subsecond_local.simulator.simulated_judge import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from subsecond.errors import UpstreamError
    from subsecond.model import Endpoint

MODELS = ("sim-t50-i5-n32", "sim-t300-i20-n256", "sim-t0-i0-n32")
_TEXT = (
    "the river carries cold water past old stone houses and every morning a small boat brings fresh bread while people "
    "talk about rain or the long road north where winter comes early so they keep wood near doors light lamps at dusk "
    "then read letters from far cities until night is quiet again"
)
_WORDS = tuple(_TEXT.split())
_GLYPHS = ("你好", "世界", "。", "日本語", "テスト", "안녕", "é", "n\u0303", "🙂", "👩‍👩‍👧", "🇪🇺", "ß", "Ω", "𝄞")
_SENTENCE = 9
# Of one embeddings call: as with OpenAI; and as many numbers as a model's name can ask for.
MOST_TEXTS, MOST_DIMENSIONS = 2_048, 9_999
_KINDS: Mapping[str, tuple[type, ...]] = {
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "n": (int,),
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": (list,),
}


class Simulation:
    """The engine. It remembers only how many calls it had, and which models' `once` is used up."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._calls = itertools.count(1)
        self._spent: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget whose `once` is used up."""
        self._spent.clear()

    def answer(self, endpoint: Endpoint, body: Mapping[str, Any], header: str = "") -> SimulatedAnswer:
        """The answer to this body; UpstreamError for a bad request, an unknown model, and the fault `status`."""
        _check(body)
        model = _model(body)
        faults = self._faults(str(body["model"]), model, header)
        number = next(self._calls)
        digest = hashlib.sha256(f"{self._seed} {number}".encode()).digest()
        prompts = _prompts(endpoint, body)
        _refuse(prompts, faults)
        if "short" in faults:
            prompts = prompts[: max(1, len(prompts) - int(faults["short"]))]
        seeds = [self._material(body, prompt, which) for prompt in prompts for which in range(body.get("n") or 1)]
        choices = tuple(_choice(body, seed, model, faults) for seed in seeds)
        asked = sum(len(encode(prompt)) for prompt in prompts) // 4 + 1
        answered = sum(len(choice.pieces) for choice in choices)
        return SimulatedAnswer(
            endpoint=endpoint,
            id=f"{'chatcmpl' if endpoint == 'chat' else 'cmpl'}-{digest.hex()[:16]}{number:08d}",
            created=int(time()),
            model=str(body["model"]),
            choices=choices,
            usage={"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
            | {"prompt_tokens_details": {"cached_tokens": 0}},
            times=_times(model, max(1, *(len(choice.pieces) for choice in choices)), digest),
            faults=faults,
        )

    def embeddings(self, body: Mapping[str, Any], header: str = "") -> bytes:
        """The embeddings object: unit vectors, floats or base64. Errors as `answer`."""
        model = _model(body)
        self._faults(str(body["model"]), model, header)
        size = body.get("dimensions") or model.dimensions
        if not isinstance(size, int) or not 0 < size <= MOST_DIMENSIONS:
            raise refusal(f"'dimensions' must be 1 to {MOST_DIMENSIONS:,}.", param="dimensions", code="invalid_value")
        texts = _texts(body.get("input"), "input")
        if len(texts) > MOST_TEXTS:
            raise refusal(f"'input' may hold {MOST_TEXTS:,} texts.", param="input", code="invalid_value")
        packed = body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": self._vector(text, size, packed=packed)}
            for index, text in enumerate(texts)
        ]
        tokens = sum(len(encode(text)) for text in texts) // 4 + 1
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return as_json({"object": "list", "data": data, "model": body["model"], "usage": usage})

    def models(self) -> bytes:
        """The list object of `/models`: some of the names, since all of them would not end."""
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in MODELS]
        return as_json({"object": "list", "data": data})

    def _faults(self, name: str, model: Profile, header: str) -> Mapping[str, float]:
        faults = {**model.faults, **header_faults(header)} if header else model.faults
        if "once" in faults:
            name = f"{name} {header}"
            self._spent[name] += 1
            if self._spent[name] > faults["once"]:
                return {}
        if "status" in faults:
            raise _fault_status(int(faults["status"]), int(faults.get("after", 1)))
        return faults

    def _material(self, body: Mapping[str, Any], prompt: Any, which: int) -> bytes:
        told = {name: body[name] for name in body if name not in ("stream", "stream_options", "prompt")}
        return json.dumps([self._seed, which, prompt, told], sort_keys=True).encode()

    def _vector(self, text: Any, size: int, *, packed: bool) -> list[float] | str:
        noise = hashlib.shake_256(json.dumps([self._seed, text]).encode()).digest(2 * size)
        # Odd numbers only: a vector of length zero has no direction.
        numbers = [value | 1 for value in struct.unpack(f"<{size}h", noise)]
        length = math.hypot(*numbers)
        vector = [value / length for value in numbers]
        return base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if packed else vector


def _fault_status(status: int, after: int) -> UpstreamError:
    error = refusal(f"The fault asked for: {status}.", status=status, code=f"simulated_{status}")
    error.retry_after = str(after) if status in (429, 503) else None
    return error


def _check(body: Mapping[str, Any]) -> None:
    for name, kinds in _KINDS.items():
        value = body.get(name)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise refusal(f"'{name}' has the wrong type: {type(value).__name__}.", param=name, code="invalid_type")
    for name in ("n", "max_tokens", "max_completion_tokens"):
        if body.get(name) is not None and body[name] < 1:
            raise refusal(f"'{name}' must be at least 1.", param=name, code="integer_below_min_value")


def _model(body: Mapping[str, Any]) -> Profile:
    name = body.get("model")
    if not isinstance(name, str):
        raise refusal("You must provide a model parameter, a string.", param="model", code="missing_required_parameter")
    return profile(name)


def _prompts(endpoint: Endpoint, body: Mapping[str, Any]) -> list[Any]:
    if endpoint == "text":
        return _texts(body.get("prompt"), "prompt")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refusal("'messages' must be a list that is not empty.", param="messages", code="invalid_type")
    for at, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise refusal(f"'messages[{at}]' must be an object with a role.", param=f"messages[{at}]")
        if not isinstance(message.get("content"), str | list | None):
            raise refusal("'content' must be a string or a list.", param=f"messages[{at}].content")
    return [messages]


def _texts(value: Any, param: str) -> list[Any]:
    """One item for each text: a string or a list of token numbers."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(item, int) for item in value):
            return [value]
        if all(isinstance(item, str) for item in value) or all(isinstance(item, list) and item for item in value):
            return value
    raise refusal(f"'{param}' must be a string, a list of strings, or token arrays.", param=param, code="invalid_type")


def _refuse(prompts: list[Any], faults: Mapping[str, float]) -> None:
    if "nolist" in faults and len(prompts) > 1:
        raise refusal("'prompt' must be a string.", param="prompt", code="invalid_type")
    if "poison" in faults and "poison" in str(prompts):
        raise refusal("The fault asked for: a prompt is refused.", param="prompt", code="simulated_poison")


def _choice(body: Mapping[str, Any], seed: bytes, model: Profile, faults: Mapping[str, float]) -> Choice:
    tool = _tool(body)
    if tool is not None:
        text = encode(_arguments(tool, seed))
        return Choice(tuple(text[at : at + 6] for at in range(0, len(text), 6)), "tool_calls", tool["name"])
    if "empty" in faults:
        return Choice((), "stop")
    if "judge" in faults:
        return Choice((verdict(body),), "stop")
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or model.tokens
    size = min(model.tokens, limit)
    finish = "stop" if size == model.tokens else "length"
    if "filter" in faults:
        size, finish = min(size, int(faults["filter"])), "content_filter"
    noise = hashlib.shake_256(seed).digest(size)
    if "unicode" in faults:
        return Choice(tuple(_GLYPHS[value % len(_GLYPHS)] for value in noise), finish)
    return Choice(tuple(itertools.starmap(_token, enumerate(noise))), finish)


def _token(at: int, value: int) -> str:
    place = at % _SENTENCE
    word = _WORDS[value % len(_WORDS)]
    word = word.capitalize() if place == 0 else word
    return f"{' ' if at else ''}{word}{'.' if place == _SENTENCE - 1 else ''}"


def _tool(body: Mapping[str, Any]) -> dict[str, Any] | None:
    choice = body.get("tool_choice")
    if choice is None or choice in ("auto", "none"):
        return None
    wanted = choice.get("function") if isinstance(choice, dict) else None
    name = wanted.get("name") if isinstance(wanted, dict) else None
    for tool in body.get("tools") or []:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            continue
        if choice == "required" or name == function["name"]:
            return function
    raise refusal("'tool_choice' names no function of 'tools'.", param="tool_choice")


def _arguments(tool: Mapping[str, Any], seed: bytes) -> dict[str, Any]:
    parameters = tool.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    noise = hashlib.shake_256(seed).digest(1)[0]
    made = {"string": _WORDS[noise % len(_WORDS)], "integer": noise, "number": noise / 2, "boolean": True}
    made |= {"array": [], "object": {}}
    found: dict[str, Any] = {}
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        given = schema if isinstance(schema, dict) else {}
        found[name] = given["enum"][0] if given.get("enum") else made.get(str(given.get("type")))
    return found


def _times(model: Profile, tokens: int, digest: bytes) -> tuple[float, ...]:
    if not model.jitter:
        return tuple(model.first + model.gap * at for at in range(tokens))
    noise = struct.unpack(f"<{tokens}H", hashlib.shake_256(digest).digest(2 * tokens))
    normal = NormalDist(0, model.jitter)
    waits = (
        (model.gap if at else model.first) * math.exp(normal.inv_cdf((value + 0.5) / 65536))
        for at, value in enumerate(noise)
    )
    return tuple(itertools.accumulate(waits))
