"""OpenAI's messages to Converse's: system text, turns, images, documents, audio, tool calls and results, reasoning."""

from __future__ import annotations

import json
import re
from binascii import Error, a2b_base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from subsecond.errors import InvalidRequest

Block = dict[str, Any]

SYSTEM: Final = frozenset({"system", "developer"})
CACHE_POINT: Final[Block] = {"cachePoint": {"type": "default"}}
IMAGES: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
AUDIO: Final = frozenset({"wav", "mp3", "flac", "opus", "aac", "ogg"})
# Of a reasoning block in `reasoning_details`, as other gateways name them.
REASONING_TEXT, REASONING_SEALED = "reasoning.text", "reasoning.encrypted"

_DATA_URL = re.compile(r"data:([^;,]+)(?:;[^,;]*)*;base64,", re.IGNORECASE)
# What a document may be called (Converse's rule).
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9 \-()\[\]]+")
_FIELDS: Final = {
    "user": {"role", "content"},
    "assistant": {
        "role", "content", "refusal", "tool_calls", "reasoning_content", "reasoning", "reasoning_details",
        "annotations", "audio", "function_call",
    },
    "tool": {"role", "content", "tool_call_id", "name"},
    "system": {"role", "content"},
    "developer": {"role", "content"},
}  # fmt: skip


def unsupported(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"Bedrock's Converse cannot carry '{param}': {why}", param=param, code="unsupported_value")


class Conversation:
    """system: the text of all system and developer messages, in their order. messages: Converse's turns, in which two
    messages of one side are one turn. caches, thinks: whether cache points and thoughts are carried. Both can be left
    out without harm, and a model that does not know them refuses them."""

    def __init__(self, messages: object, *, caches: bool, thinks: bool) -> None:
        self.system: list[Block] = []
        self.messages: list[dict[str, Any]] = []
        self.uses_tools = False
        self._caches = caches
        self._thinks = thinks
        if not isinstance(messages, list) or not messages:
            raise InvalidRequest("'messages' must be a list of at least one message.", param="messages")
        for at, message in enumerate(messages):
            self._add(message, f"messages[{at}]")

    def _add(self, message: object, place: str) -> None:
        if not isinstance(message, Mapping):
            raise InvalidRequest(f"'{place}' must be an object.", param=place)
        role = str(message.get("role"))
        if role not in _FIELDS:
            raise unsupported(f"{place}.role", f"there is no role {role[:40]!r}.")
        _check_fields(message, _FIELDS[role] | {"cache_control"}, place)
        blocks = self._blocks(role, message, place)
        if message.get("cache_control"):
            blocks += self._cache_points(message["cache_control"])
        if role in SYSTEM:
            self.system += blocks
        elif blocks:
            self._say("assistant" if role == "assistant" else "user", blocks)

    def _blocks(self, role: str, message: Mapping[str, Any], place: str) -> list[Block]:
        if role in SYSTEM:
            return self._content(message.get("content"), place, _ONLY_TEXT)
        if role == "tool":
            return self._result(message, place)
        if role == "assistant":
            return self._assistant(message, place)
        blocks = self._content(message.get("content"), place, _PARTS)
        if not any("cachePoint" not in block for block in blocks):
            raise unsupported(f"{place}.content", "it is empty.")
        return blocks

    def _say(self, role: str, blocks: list[Block]) -> None:
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _content(self, content: object, place: str, parts: Mapping[str, Part]) -> list[Block]:
        if isinstance(content, str):
            return _text({"text": content}, place)
        if not isinstance(content, list):
            raise InvalidRequest(f"'{place}.content' must be a text or a list of parts.", param=f"{place}.content")
        blocks: list[Block] = []
        for at, part in enumerate(content):
            where = f"{place}.content[{at}]"
            if not isinstance(part, Mapping):
                raise InvalidRequest(f"'{where}' must be an object.", param=where)
            if "cachePoint" in part:
                blocks += self._cache_points(part["cachePoint"])
                continue
            make = parts.get(str(part.get("type")))
            if make is None:
                raise unsupported(f"{where}.type", f"it is {str(part.get('type'))[:40]!r} in this message.")
            blocks += make(part, where)
            blocks += self._cache_points(part.get("cache_control"))
        return blocks

    def _cache_points(self, wish: object) -> list[Block]:
        return cache_points(wish) if self._caches else []

    def _assistant(self, message: Mapping[str, Any], place: str) -> list[Block]:
        for name in ("audio", "function_call"):
            if message.get(name):
                raise unsupported(f"{place}.{name}", "use tool_calls." if name == "function_call" else "it is audio.")
        content = message.get("content")
        blocks = self._content(content, place, _SAID) if content else []
        blocks += _text({"text": message.get("refusal") or ""}, place)
        calls = message.get("tool_calls") or []
        blocks += [_tool_use(call, f"{place}.tool_calls[{at}]") for at, call in enumerate(calls)]
        self.uses_tools = self.uses_tools or bool(calls)
        return with_reasoning(blocks, message.get("reasoning_details"), place) if self._thinks else blocks

    def _result(self, message: Mapping[str, Any], place: str) -> list[Block]:
        self.uses_tools = True
        identity = message.get("tool_call_id")
        if not isinstance(identity, str) or not identity:
            raise InvalidRequest(f"'{place}.tool_call_id' is missing.", param=f"{place}.tool_call_id")
        found = self._content(message.get("content") or "", place, _RESULTS)
        points = [block for block in found if "cachePoint" in block]
        # A result without content is allowed; a blank text is not.
        content = [block for block in found if "cachePoint" not in block]
        return [{"toolResult": {"toolUseId": identity, "content": content}}, *points]


def cache_points(wish: object) -> list[Block]:
    """Converse's, for Anthropic's `cache_control` or Converse's own `cachePoint`; none without a wish."""
    if not isinstance(wish, Mapping):
        return []
    ttl = wish.get("ttl")
    return [{"cachePoint": {"type": "default", "ttl": ttl}}] if ttl in ("5m", "1h") else [CACHE_POINT]


def with_reasoning(blocks: list[Block], details: object, place: str) -> list[Block]:
    """The blocks with those of `reasoning_details` in the places that they had (`index`): the model refuses a signed
    block that it finds elsewhere. Details of other providers are left out: their signatures mean nothing here."""
    if details is not None and not isinstance(details, list):
        raise InvalidRequest(f"'{place}.reasoning_details' must be a list.", param=f"{place}.reasoning_details")
    found = list(blocks)
    for detail in details or ():
        if isinstance(detail, Mapping) and (block := _reasoning(detail)):
            at = detail.get("index")
            found.insert(at if isinstance(at, int) else 0, block)
    return found


def _reasoning(detail: Mapping[str, Any]) -> Block | None:
    kind, signature = detail.get("type"), detail.get("signature")
    if kind == REASONING_SEALED and isinstance(detail.get("data"), str):
        return {"reasoningContent": {"redactedContent": detail["data"]}}
    if kind == REASONING_TEXT and isinstance(detail.get("text"), str):
        said = {"text": detail["text"]} | ({"signature": signature} if isinstance(signature, str) else {})
        return {"reasoningContent": {"reasoningText": said}}
    return None


def _check_fields(message: Mapping[str, Any], known: set[str], place: str) -> None:
    for name, value in message.items():
        if name not in known and value not in (None, "", [], {}):
            raise unsupported(f"{place}.{name}", "Converse has no such field.")


Part = Callable[[Mapping[str, Any], str], list[Block]]


def _text(part: Mapping[str, Any], place: str) -> list[Block]:
    """Converse refuses blank texts, which say nothing."""
    text = part.get("text")
    if not isinstance(text, str):
        raise InvalidRequest(f"'{place}.text' must be a text.", param=f"{place}.text")
    return [{"text": text}] if text.strip() else []


def _refusal(part: Mapping[str, Any], place: str) -> list[Block]:
    return _text({"text": part.get("refusal")}, place)


def _image(part: Mapping[str, Any], place: str) -> list[Block]:
    where = f"{place}.image_url"
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    kind, data = _data_url(url, f"{where}.url")
    if kind not in IMAGES:
        raise unsupported(f"{where}.url", f"an image is png, jpeg, gif or webp, not {kind[:40]!r}.")
    return [{"image": {"format": IMAGES[kind], "source": {"bytes": data}}}]


def _file(part: Mapping[str, Any], place: str) -> list[Block]:
    where, file = f"{place}.file", part.get("file")
    if not isinstance(file, Mapping) or not file.get("file_data"):
        raise unsupported(where, "send the file's content as a data URL in 'file_data'.")
    name = str(file.get("filename") or "document")
    kind, data = _data_url(file["file_data"], f"{where}.file_data")
    stem, _, extension = name.rpartition(".")
    form = DOCUMENTS.get(kind) or (extension.lower() if extension.lower() in DOCUMENTS.values() else None)
    if form is None:
        raise unsupported(f"{where}.file_data", f"a document is one of {', '.join(DOCUMENTS.values())}.")
    called = " ".join(_UNNAMEABLE.sub(" ", stem or name).split())[:200] or "document"
    return [{"document": {"format": form, "name": called, "source": {"bytes": data}}}]


def _audio(part: Mapping[str, Any], place: str) -> list[Block]:
    where, audio = f"{place}.input_audio", part.get("input_audio")
    if not isinstance(audio, Mapping) or audio.get("format") not in AUDIO:
        raise unsupported(f"{where}.format", f"audio is one of {', '.join(sorted(AUDIO))}.")
    return [{"audio": {"format": audio["format"], "source": {"bytes": _base64(audio.get("data"), f"{where}.data")}}}]


def _data_url(url: object, place: str) -> tuple[str, str]:
    """The media type, and the bytes in base64 as Converse wants them on its wire."""
    found = _DATA_URL.match(url) if isinstance(url, str) else None
    if found is None or not isinstance(url, str):
        raise unsupported(place, "Bedrock fetches nothing. Send the bytes: data:TYPE;base64,...")
    return found[1].lower(), _base64(url[found.end() :], place)


def _base64(data: object, place: str) -> str:
    try:
        if isinstance(data, str) and data and a2b_base64(data, strict_mode=True):
            return data
    except (Error, ValueError):
        pass
    raise InvalidRequest(f"'{place}' is not base64.", param=place, code="invalid_base64")


def _tool_use(call: object, place: str) -> Block:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise unsupported(place, "a call is one of a function.")
    for name, value in (("id", call.get("id")), ("function.name", function.get("name"))):
        if not isinstance(value, str) or not value:
            raise InvalidRequest(f"'{place}.{name}' is missing.", param=f"{place}.{name}")
    given = function.get("arguments") or "{}"
    try:
        arguments = json.loads(given)
    except (TypeError, ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise unsupported(f"{place}.function.arguments", "they are no JSON object.")
    return {"toolUse": {"toolUseId": call["id"], "name": function["name"], "input": arguments}}


_ONLY_TEXT: Final[Mapping[str, Part]] = {"text": _text}
_SAID: Final[Mapping[str, Part]] = {"text": _text, "refusal": _refusal}
_PARTS: Final[Mapping[str, Part]] = {"text": _text, "image_url": _image, "file": _file, "input_audio": _audio}
_RESULTS: Final[Mapping[str, Part]] = {"text": _text, "image_url": _image, "file": _file}


def prompt_message(prompt: object) -> Sequence[Mapping[str, Any]]:
    """A text completion's prompt as the one user turn."""
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise unsupported("prompt", "it is one text.")
    return [{"role": "user", "content": prompt}]
