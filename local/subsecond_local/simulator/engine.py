"""From a request to its answer, and what is kept of it."""

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

from subsecond_local.simulator.composer import compose
from subsecond_local.simulator.dialects import DIALECTS, messages_request, responses, responses_request
from subsecond_local.simulator.dialects.completions import texts_of
from subsecond_local.simulator.memory import Kept, SimulatedMemory
from subsecond_local.simulator.names import Profile, header_faults, profile, refusal
from subsecond_local.simulator.simulated_answer import SimulatedAnswer, Usage, as_json, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from subsecond.errors import UpstreamError
    from subsecond_local.simulator.question import Question
    from subsecond_local.simulator.simulated_answer import Choice

# Of one embeddings call: as with OpenAI; and as many numbers as a model's name can ask for.
MOST_TEXTS, MOST_DIMENSIONS = 2_048, 9_999
# Fields of which no answer depends.
_UNTOLD = ("stream", "stream_options", "prompt")


class Simulation:
    """The engine. It remembers how many calls it had, which models' `once` is used up, and what a server keeps."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._calls = itertools.count(1)
        self._spent: Counter[str] = Counter()
        self.memory = SimulatedMemory()

    def reset(self) -> None:
        """Forget whose `once` is used up, and what was kept."""
        self._spent.clear()
        self.memory = SimulatedMemory()

    def answer(self, endpoint: str, body: Mapping[str, Any], header: str = "") -> SimulatedAnswer:
        """The answer to this body; UpstreamError for a bad request, an unknown model, and the fault `status`."""
        dialect = DIALECTS[endpoint]
        model = _model(body)
        faults = self._faults(str(body["model"]), model, header)
        question = dialect.read(body, self.memory)
        number = next(self._calls)
        digest = hashlib.sha256(f"{self._seed} {number}".encode()).digest()
        prompts = _refuse(question.prompts, faults)
        seeds = [self._material(body, prompt, at) for prompt in prompts for at in range(question.count)]
        choices = tuple(compose(question, seed, model, faults) for seed in seeds)
        answer = SimulatedAnswer(
            endpoint=endpoint,
            identity=f"{digest.hex()[:16]}{number:08d}",
            created=int(time()),
            model=str(body["model"]),
            choices=choices,
            usage=_usage(question, choices),
            times=_times(model, max(1, *(choice.tokens() for choice in choices)), digest),
            faults=faults,
            asked=body,
        )
        if endpoint == "responses" and body.get("store") is not False:
            self.memory.keep(Kept(responses.whole(answer), question.before, responses_request.items_of(body)))
        return answer

    def embeddings(self, body: Mapping[str, Any], header: str = "") -> bytes:
        """The embeddings object: unit vectors, floats or base64. Errors as `answer`."""
        model = _model(body)
        self._faults(str(body["model"]), model, header)
        size = body.get("dimensions") or model.dimensions
        if not isinstance(size, int) or not 0 < size <= MOST_DIMENSIONS:
            raise refusal(f"'dimensions' must be 1 to {MOST_DIMENSIONS:,}.", param="dimensions", code="invalid_value")
        texts = texts_of(body.get("input"), "input")
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

    def tokens(self, body: Mapping[str, Any]) -> bytes:
        """How many tokens a message's prompt has. Errors as `answer`."""
        _model(body)
        return as_json({"input_tokens": _prompt_tokens(messages_request.counted(body, SimulatedMemory()))})

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
        told = {name: body[name] for name in body if name not in _UNTOLD}
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


def _model(body: Mapping[str, Any]) -> Profile:
    name = body.get("model")
    if not isinstance(name, str):
        raise refusal("You must provide a model parameter, a string.", param="model", code="missing_required_parameter")
    return profile(name)


def _refuse(prompts: tuple[Any, ...], faults: Mapping[str, float]) -> tuple[Any, ...]:
    """The prompts that are answered. UpstreamError 400 for the faults that refuse some."""
    if "nolist" in faults and len(prompts) > 1:
        raise refusal("'prompt' must be a string.", param="prompt", code="invalid_type")
    if "poison" in faults and "poison" in str(prompts):
        raise refusal("The fault asked for: a prompt is refused.", param="prompt", code="simulated_poison")
    return prompts[: max(1, len(prompts) - int(faults["short"]))] if "short" in faults else prompts


def _prompt_tokens(question: Question) -> int:
    return sum(len(encode(one)) for one in question.counted) // 4 + 1


def _usage(question: Question, choices: tuple[Choice, ...]) -> Usage:
    return Usage(
        asked=_prompt_tokens(question),
        answered=sum(choice.tokens() for choice in choices),
        thought=sum(choice.tokens("thought") for choice in choices),
        written=question.written,
        read=question.read,
    )


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
