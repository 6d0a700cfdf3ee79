"""Counts the tokens of a whole call: its texts, and what the provider's own format adds around them.

What is added is taken from OpenAI's published recipes: 3 for each message and 3 for the reply's beginning, 1 for a
name, and for tools a price for each function, parameter and enumeration. An image is charged by its `detail`, because
its size is not known without decoding it. Content that cannot be counted (audio, files) is named, not guessed.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from subsecond.optimiser.estimate import Estimator, tables
from subsecond.optimiser.messages import Message, texts
from subsecond.optimiser.tokenizers import TokenCounter, load

PER_MESSAGE, PER_NAME, PER_REPLY = 3, 1, 3
# GPT-4o's prices for tools (OpenAI's cookbook): function, its properties, each property, an enumeration's values.
PER_FUNCTION, PER_PROPERTIES, PER_PROPERTY, PER_ENUM, PER_VALUE, AFTER_TOOLS = 7, 3, 3, -3, 3, 12
PER_CALL = 8
# An image of low detail, and one of 1,024 x 1,024 of high detail.
LOW_IMAGE, HIGH_IMAGE = 85, 765
# Messages whose counts are kept; a turn comes again in every later turn of its conversation.
MOST_COUNTS = 4096
# Shorter texts are counted as fast as they are looked up.
SHORT = 64
# Fields of a message that `upper_bound` knows: role and content.
PLAIN_FIELDS = 2
FAMILIES = (("gpt-4o*", "o200k"), ("gpt-4.*", "o200k"), ("gpt-4*", "cl100k"), ("gpt-3.5*", "cl100k"))
_IMAGES = frozenset({"image_url", "input_image", "image"})
_TEXTS = frozenset({"text", "refusal"})


class Tokens:
    """The token counters by model, and the counts of texts seen before, of one environment.

    files: `PATTERN=FILE` with commas between: the tokenizer files of models whose names fit the patterns; a `.tiktoken`
    or `.json` file. Every other model is estimated.
    """

    def __init__(self, files: str = "") -> None:
        pairs = (entry.split("=", 1) for entry in files.split(",") if "=" in entry)
        self._files = [(pattern.strip(), path.strip()) for pattern, path in pairs]
        self._counts: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    def counter(self, model: str) -> TokenCounter:
        """Raises OSError, ImportError, ValueError when the model's tokenizer file cannot be used."""
        for pattern, path in self._files:
            if fnmatchcase(model, pattern):
                return _exact(path)
        name = model.rpartition("/")[2].lower()
        return _estimator(next((table for pattern, table in FAMILIES if fnmatchcase(name, pattern)), "o200k"))

    def text(self, counter: TokenCounter, text: str) -> int:
        """Counted once, remembered by Python's own hash: a string keeps it, so one that is asked for again costs a
        look-up, and no text is held. 64 bits, keyed by the process: two texts of one length share theirs by chance once
        in 10^15 look-ups, and then one is counted as the other."""
        if len(text) < SHORT:
            return counter.count(text)
        key = (counter.name, len(text), hash(text))
        if (known := self._counts.get(key)) is not None:
            self._counts.move_to_end(key)
            return known
        count = self._counts[key] = counter.count(text)
        if len(self._counts) > MOST_COUNTS:
            self._counts.popitem(last=False)
        return count

    def message(self, counter: TokenCounter, message: Message) -> int:
        total = PER_MESSAGE + sum(self.text(counter, text) for text in texts(message))
        if isinstance(name := message.get("name"), str):
            total += PER_NAME + self.text(counter, name)
        for call in _calls(message):
            total += PER_CALL + sum(
                self.text(counter, value)
                for field in ("name", "arguments")
                if isinstance(value := call.get(field), str)
            )
        content = message.get("content")
        return total + sum(map(_image, content if isinstance(content, list) else []))

    def frame(self, counter: TokenCounter, body: Mapping[str, Any]) -> int:
        """Tokens of what is neither message nor prompt: tools, a prescribed format, the reply's beginning."""
        tools = body.get("tools") or []
        total = PER_REPLY + sum(self._tool(counter, tool) for tool in tools if isinstance(tool, Mapping))
        if isinstance(wanted := body.get("response_format"), Mapping) and "json_schema" in wanted:
            total += self.text(counter, json.dumps(wanted["json_schema"], separators=(",", ":")))
        return total + (AFTER_TOOLS if tools else 0)

    def _tool(self, counter: TokenCounter, tool: Mapping[str, Any]) -> int:
        function = tool.get("function")
        if not isinstance(function, Mapping):
            return PER_FUNCTION + self.text(counter, json.dumps(tool, separators=(",", ":")))
        said = f"{function.get('name', '')}:{function.get('description', '')}"
        return PER_FUNCTION + self.text(counter, said) + self._schema(counter, function.get("parameters"))

    def _schema(self, counter: TokenCounter, schema: object) -> int:
        properties = schema.get("properties") if isinstance(schema, Mapping) else None
        if not isinstance(properties, Mapping) or not properties:
            return 0
        total = PER_PROPERTIES
        for name, value in properties.items():
            field = value if isinstance(value, Mapping) else {}
            said = f"{name}:{field.get('type', '')}:{str(field.get('description', '')).rstrip('.')}"
            total += PER_PROPERTY + self.text(counter, said)
            values = field.get("enum")
            if isinstance(values, list) and values:
                total += PER_ENUM + sum(PER_VALUE + counter.count(str(value)) for value in values)
            total += self._schema(counter, field) + self._schema(counter, field.get("items"))
        return total


def uncounted(messages: list[Message]) -> tuple[str, ...]:
    """The kinds of content parts that no count covers: audio, files."""
    kinds = {
        str(part.get("type"))
        for message in messages
        if isinstance(content := message.get("content"), list)
        for part in content
        if isinstance(part, dict)
    }
    return tuple(sorted(kinds - _TEXTS - _IMAGES))


class Correction:
    """The ratio of a model's real counts to the estimates, learned from the `usage` that comes back. Exact counts need
    none.

    A weighted mean of the logarithm would be purer; with ratios this near to 1 it makes no difference.
    """

    WEIGHT = 0.2
    MOST_MODELS = 256
    # Fewer tokens say more about the frame than about the text.
    LEAST = 200
    LOWEST, HIGHEST = 0.5, 2.0

    def __init__(self) -> None:
        self._ratios: OrderedDict[str, float] = OrderedDict()

    def factor(self, model: str) -> float:
        return self._ratios.get(model, 1.0)

    def learn(self, model: str, estimated: int | None, usage: Mapping[str, Any] | None) -> None:
        """`estimated` without the factor, `usage` as the provider sent it; neither need be there."""
        real = (usage or {}).get("prompt_tokens")
        if not estimated or estimated < self.LEAST or not isinstance(real, int) or real <= 0:
            return
        ratio = min(self.HIGHEST, max(self.LOWEST, real / estimated))
        known = self._ratios.pop(model, None)
        self._ratios[model] = ratio if known is None else known + self.WEIGHT * (ratio - known)
        if len(self._ratios) > self.MOST_MODELS:
            self._ratios.popitem(last=False)


def upper_bound(body: Mapping[str, Any], messages: list[Message]) -> int | None:
    """Tokens that no tokenizer exceeds, without counting: a token is a byte at least. None where there is no bound."""
    if body.get("tools") or body.get("response_format"):
        return None
    if any(not isinstance(message.get("content"), str) or len(message) != PLAIN_FIELDS for message in messages):
        return None
    return PER_REPLY + sum(_bytes(text) + PER_MESSAGE for message in messages for text in texts(message))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)


def _calls(message: Message) -> list[Mapping[str, Any]]:
    calls = message.get("tool_calls")
    found = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return [call for call in [*found, message.get("function_call")] if isinstance(call, Mapping)]


def _image(part: object) -> int:
    if not isinstance(part, Mapping) or part.get("type") not in _IMAGES:
        return 0
    image = part.get("image_url")
    detail = image.get("detail") if isinstance(image, Mapping) else part.get("detail")
    return LOW_IMAGE if detail == "low" else HIGH_IMAGE


@cache
def _exact(path: str) -> TokenCounter:
    return load(Path(path))


@cache
def _estimator(name: str) -> Estimator:
    return Estimator(tables()[name], name)
