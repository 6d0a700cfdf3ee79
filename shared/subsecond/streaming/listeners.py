"""For those who listen to a stream as it comes: what was said so far, sentence by sentence, and how fast it came."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from subsecond.streaming.events import choices_of, text_in
from subsecond.streaming.sentences import Sentences
from subsecond.streaming.sse import is_done

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Buffer", "Metrics", "Sentences", "listen", "text_of"]


class Dumps(Protocol):
    """An object of pydantic's, as the `openai` package's chunks are."""

    def model_dump(self) -> dict[str, Any]: ...


# One OpenAI chunk: its JSON bytes (a `data:` line's payload) or the object.
Chunk: TypeAlias = bytes | Mapping[str, Any] | Dumps
# Text, or a chunk.
Piece: TypeAlias = str | Chunk
# Plain or async; what they return is not looked at.
OnText: TypeAlias = Callable[[str], object]
OnComplete: TypeAlias = Callable[[str, "Metrics"], object]
T = TypeVar("T")

# Pieces that are read ahead of a slow callback before the stream is held up.
AHEAD = 1_024


@dataclass(frozen=True, slots=True)
class Metrics:
    """How fast a stream came, as it was read. Callbacks count only when they fall so far behind that it waits for them.

    ttft_s, total_s: seconds from the buffer's making (the call of `listen`) to the first text (None when there was
    none) and to the end, or the last piece so far.
    pieces: pieces of text. tokens: the upstream's own count (its usage chunk), None when it gave none, because a
    piece is not a token. tokens_per_second: between the first and the last piece; the time to the first is left out.
    """

    ttft_s: float | None
    total_s: float
    pieces: int
    tokens: int | None
    tokens_per_second: float | None


async def listen(
    stream: AsyncIterable[Piece],
    on_token: OnText | None = None,
    on_sentence: OnText | None = None,
    on_complete: OnComplete | None = None,
    *,
    ahead: int = AHEAD,
) -> str:
    """The whole text. `on_token(piece)`, `on_sentence(sentence)` and at the end `on_complete(text, metrics)` are called
    in the stream's order, one at a time; each may be a plain function (a short one: it runs in the loop) or async.

    The stream is read on while a callback waits, by `ahead` pieces at most. When a callback fails, the stream fails or
    the caller is cancelled, the stream is closed, nothing runs on, and the error is raised here; text that came before
    a stream failed is still told, `on_complete` is not called. Of several choices only the first is listened to.
    """
    buffer = Buffer()
    sentences = Sentences()
    async with aclosing(_ahead(_texts(stream, buffer), ahead)) as texts:
        async for text in texts:
            if on_token:
                await _settled(on_token(text))
            if on_sentence:
                for sentence in sentences.feed(text):
                    await _settled(on_sentence(sentence))
    if on_sentence and (rest := sentences.finish()):
        await _settled(on_sentence(rest))
    whole = buffer.text
    if on_complete:
        await _settled(on_complete(whole, buffer.metrics()))
    return whole


def text_of(chunk: Chunk) -> str:
    """The text of a chunk's first choice, chat or legacy; empty where there is none (usage, role, tool calls).

    Bytes are the payload of a `data:` line; ValueError when they are not a JSON object (`[DONE]` is empty).
    """
    choice = _choice(_parsed(chunk))
    delta = choice.get("delta")
    return text_in(delta.get("content") if isinstance(delta, dict) else None) or text_in(choice.get("text"))


def _parsed(chunk: Chunk) -> Mapping[str, Any]:
    if isinstance(chunk, Mapping):
        return chunk
    if not isinstance(chunk, bytes):
        return chunk.model_dump()
    if is_done(chunk):
        return {}
    found = json.loads(chunk)
    if not isinstance(found, dict):
        raise ValueError("a chunk is a JSON object")
    return found


def _choice(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(iter(choices_of(dict(chunk))), {})


class Buffer:
    """What one stream has said so far, and how fast: for who reads it in a loop of his own. The time begins when it is
    made, so make it before the request."""

    def __init__(self) -> None:
        self._begun = perf_counter()
        self._first: float | None = None
        self._last = self._end = self._begun
        self._said: list[str] = []
        self._tokens: int | None = None

    def add(self, piece: Piece) -> str:
        """The piece's text, which is kept; of several choices the first one's. A usage chunk's count is kept."""
        if isinstance(piece, str):
            text = piece
        else:
            chunk = _parsed(piece)
            tokens = (chunk.get("usage") or {}).get("completion_tokens")
            self._tokens = tokens if isinstance(tokens, int) else self._tokens
            text = "" if _choice(chunk).get("index") else text_of(chunk)
        self._end = perf_counter()
        if text:
            self._last = self._end
            self._first = self._first or self._last
            self._said.append(text)
        return text

    def end(self) -> None:
        """The stream has ended, which may be a while after its last piece."""
        self._end = perf_counter()

    @property
    def text(self) -> str:
        return "".join(self._said)

    def metrics(self) -> Metrics:
        ttft = self._first and self._first - self._begun
        return Metrics(ttft, self._end - self._begun, len(self._said), self._tokens, self._rate())

    def _rate(self) -> float | None:
        span = self._last - (self._first or self._last)
        if self._tokens is None or span <= 0:
            return None
        # The first piece's tokens belong to the time to first token; a piece holds some tokens, equal ones as far as
        # anybody can tell.
        return self._tokens * (len(self._said) - 1) / len(self._said) / span


async def _texts(stream: AsyncIterable[Piece], buffer: Buffer) -> AsyncGenerator[str]:
    pieces = aiter(stream)
    try:
        async for piece in pieces:
            if text := buffer.add(piece):
                yield text
        buffer.end()
    finally:
        if close := getattr(pieces, "aclose", None):
            await close()


async def _ahead(source: AsyncGenerator[T], most: int) -> AsyncGenerator[T]:
    """The same items, read ahead by a task of its own: `most` of them, then it waits."""
    items: asyncio.Queue[T | None] = asyncio.Queue()
    room = asyncio.Semaphore(most)

    async def read() -> None:
        async with aclosing(source):
            async for item in source:
                await room.acquire()
                items.put_nowait(item)

    reader = asyncio.create_task(read())
    # However it ends: the mark needs no room, so it cannot be held up.
    reader.add_done_callback(lambda _: items.put_nowait(None))
    try:
        while (item := await items.get()) is not None:
            room.release()
            yield item
        await reader
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        if not reader.cancelled():
            # Whoever leaves early has an error of his own; asking for the stream's keeps asyncio from logging it.
            reader.exception()


async def _settled(result: object) -> None:
    if inspect.isawaitable(result):
        await result
