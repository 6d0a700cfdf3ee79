"""Both caches behind the same few calls: GPTCache in its worker, Subsecond in this process, each without HTTP.

Both get the texts' vectors from outside, so an embedding is a look-up in a dict on either side.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import tempfile
import time
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from subsecond.aio.lazy import Lazy
from subsecond.bootstrap import adapter, gateway
from subsecond.cache.key import prepare
from subsecond.config import Settings
from subsecond.dialects.lookup import recorded
from subsecond.errors import NotCached
from subsecond.model import CacheRules, Call, Done, Entry, Head, Recording, Tenant
from subsecond.ports import Reply
from subsecond.semantic.index.compaction import CompactionLimits, Compactor
from subsecond.semantic.index.indexer import Indexer
from subsecond.semantic.index.reader import Reader, ReaderLimits
from subsecond.semantic.index.records import Change
from subsecond.semantic.index.segments import IndexId
from subsecond.semantic.index.vectors import quantise
from subsecond.semantic.index.writer import Writer
from subsecond.stats.trace import Trace
from subsecond.stores.memory.objects import MemoryObjects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from subsecond.pipeline import Gateway
    from subsecond.ports import Embedder

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".tools" / "gptcache" / "bin" / "python"
WORKER = Path(__file__).with_name("gptcache_worker.py")
# One core is measured, and BLAS's threads spin while they wait.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TENANT = Tenant("bench", "default", "bench")
FREELY, CACHED_ONLY = CacheRules(), CacheRules(only_if_cached=True)
ROOM = 1 << 32
BATCH = 2_000
MICROSECONDS = 1_000_000


class Missing(Exception):
    """GPTCache's environment is not there, or not whole."""


class Broken(Exception):
    """GPTCache's worker ended in the middle."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Of each call: milliseconds, and what came: a row's number, or an answer; None where nothing did."""

    wall: list[float]
    cpu: list[float]
    found: list[Any]


class Theirs:
    """GPTCache: what is asked goes to the worker's command of the same name."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._opened = 0
        self.versions: dict[str, str] = {}

    def tell(self, do: str, **fields: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"do": do, "with": fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Broken(f"GPTCache's worker ended with code {self._process.wait()}; its last words are above")
        return json.loads(line)

    def know(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        path = self._folder / "vectors.npy"
        np.save(path, vectors)
        self.tell("know", texts=list(texts), vectors=str(path))

    def open(self, dim: int, most: int, threshold: float) -> None:
        self._opened += 1
        folder = self._folder / str(self._opened)
        self.tell("open", folder=str(folder), dim=dim, most=most, threshold=threshold)

    def fill(self, texts: Sequence[str], answers: Sequence[str]) -> None:
        self.tell("fill", texts=list(texts), answers=list(answers))

    def settle(self) -> None:
        self.tell("settle")

    def search(self, texts: Sequence[str]) -> Timed:
        return Timed(**self.tell("search", texts=list(texts)))

    def hit(self, texts: Sequence[str], *, report: bool) -> Timed:
        return Timed(**self.tell("hit", texts=list(texts), report=report))

    def stream(self, texts: Sequence[str], answers: Sequence[str], *, learn: bool) -> list[str | None]:
        found: list[str | None] = self.tell("stream", texts=list(texts), answers=list(answers), learn=learn)
        return found


@contextmanager
def worker(python: Path, parent: Path) -> Iterator[Theirs]:
    """GPTCache's process, with nothing in its databases, which lie below `parent`. Missing when it does not start."""
    if not python.exists():
        raise Missing(f"There is no {python}; `make bench` makes it where its packages can be had")
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        # Should it try to install something after all, it finds neither a `pip` nor an index.
        environ = {"PATH": folder, "PIP_NO_INDEX": "1", "HOME": folder, **ONE_THREAD}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
        command = (python, "-I", WORKER)
        with subprocess.Popen(command, env=environ, cwd=folder, **pipes) as process:  # type: ignore[call-overload]
            try:
                yield _started(Theirs(process, Path(folder)))
            finally:
                assert process.stdin
                process.stdin.close()


def _started(theirs: Theirs) -> Theirs:
    try:
        theirs.versions = theirs.tell("versions")
    except Broken as error:
        raise Missing(str(error)) from None
    return theirs


class Given:
    """The port `Embedder`, with vectors made before."""

    def __init__(self, real: Embedder) -> None:
        self.id, self.dim, self.max_chars = real.id, real.dim, real.max_chars
        self.known: dict[str, NDArray[np.float32]] = {}

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.known[text] for text in texts])


class Told:
    """The port `Upstream`: a model that answers what it was told to."""

    def __init__(self) -> None:
        self.answer = ""

    async def ask(self, call: Call) -> Reply:
        return Reply(_body(self.answer))


class Ours:
    """Subsecond's gateway with its stores in memory, under any of several policies over the same entries."""

    def __init__(self, embedder: Embedder, policies: Mapping[str, Settings]) -> None:
        self._given, self._told = Given(embedder), Told()
        self._runner = asyncio.Runner()
        self._objects = MemoryObjects()
        limits = ReaderLimits(memory=ROOM, memtable_rows=BATCH * BATCH)
        self._reader = Reader(self._objects, self._given.id, self._given.dim, limits)
        self._gateways: dict[str, Gateway] = {}
        first: Gateway | None = None
        for name, settings in policies.items():
            made = gateway(replace(settings, upstream="subsecond_local.simulator.adapter", memory_bytes=ROOM))
            assert made.semantic
            semantic = self._runner.run(made.semantic.get())
            lazy = Lazy(partial(replace, semantic, embedder=self._given, reader=self._reader))
            self._runner.run(lazy.get())
            first = first or made
            self._gateways[name] = replace(
                made, exact=first.exact, models=replace(made.models, upstream=self._told), semantic=lazy
            )
        self._keys: dict[str, int] = {}

    def close(self) -> None:
        self._runner.run(self._reader.close())
        self._runner.close()
        gc.unfreeze()

    def settle(self) -> None:
        """What was filled in is no garbage: the collector stays on, but does not look at it again."""
        gc.collect()
        gc.freeze()

    def know(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._given.known.update(zip(texts, vectors, strict=True))

    def fill(self, texts: Sequence[str], answers: Sequence[str]) -> None:
        """Into the store, and by the indexer into segments, which the reader loads."""
        self._runner.run(self._fill(texts, answers))

    async def _fill(self, texts: Sequence[str], answers: Sequence[str]) -> None:
        index_id = IndexId(TENANT.partition, self._given.id, self._given.dim)
        writer = Writer(self._objects)
        compactor = Compactor(writer, CompactionLimits(index_bytes=ROOM))
        indexer, store = Indexer(writer, compactor), next(iter(self._gateways.values())).exact
        now = int(time.time())
        changes = []
        for row, (text, answer) in enumerate(zip(texts, answers, strict=True)):
            prompt = prepare(_call(text), TENANT)
            vector = quantise(self._given.known[text])
            expires = now + 86_400
            entry = Entry(TENANT.partition, prompt, _recording(answer), now, expires, vector.tobytes(), self._given.id)
            await store.put(entry)
            self._keys[prompt.key] = row
            keys = bytes.fromhex(prompt.key), bytes.fromhex(prompt.scope)
            changes.append(Change(*keys, now * MICROSECONDS, expires, 0, vector))
        for start in range(0, len(changes), BATCH):
            await indexer.apply(index_id, changes[start : start + BATCH])
        await compactor.merge_and_evict(index_id)
        await self._reader.refresh(TENANT.partition)

    def search(self, texts: Sequence[str]) -> Timed:
        scope = prepare(_call(texts[0]), TENANT).scope
        timed = Timed([], [], [])
        for vector in [self._given.known[text] for text in texts]:
            begun, spent = time.perf_counter_ns(), time.process_time_ns()
            neighbours = self._reader.search(TENANT.partition, scope, vector)
            _note(timed, begun, spent)
            timed.found.append(self._keys[neighbours[0].key] if neighbours else None)
        return timed

    def hit(self, policy: str, texts: Sequence[str]) -> Timed:
        return self._runner.run(self._hit(self._gateways[policy], texts))

    async def _hit(self, made: Gateway, texts: Sequence[str]) -> Timed:
        timed = Timed([], [], [])
        for text in texts:
            call = _call(text, CACHED_ONLY)
            begun, spent = time.perf_counter_ns(), time.process_time_ns()
            done = await _cached(made, call)
            _note(timed, begun, spent)
            timed.found.append(_content(done))
        return timed

    def stream(self, policy: str, texts: Sequence[str], answers: Sequence[str], *, learn: bool) -> list[str | None]:
        """As the worker's. Without `learn` nothing is stored and no model asked."""
        return self._runner.run(self._stream(self._gateways[policy], texts, answers, learn=learn))

    async def _stream(
        self, made: Gateway, texts: Sequence[str], answers: Sequence[str], *, learn: bool
    ) -> list[str | None]:
        rules = FREELY if learn else CACHED_ONLY
        found = []
        for text, self._told.answer in zip(texts, answers, strict=True):
            found.append(_content(await _cached(made, _call(text, rules))))
        return found


def available(policies: Mapping[str, Settings]) -> tuple[dict[str, Settings], list[str]]:
    """Those policies that there are, and the names of the others."""
    there, absent = {}, []
    for name, settings in policies.items():
        try:
            adapter("semantic", settings)
            there[name] = settings
        except ValueError:
            absent.append(name)
    return there, absent


async def _cached(made: Gateway, call: Call) -> Done | None:
    """The whole of a request behind authentication; what it gave, where that came from the cache."""
    try:
        async with aclosing(made.complete(TENANT, call, Trace())) as events:
            hit = False
            async for event in events:
                if isinstance(event, Head):
                    hit = event.source != "upstream"
            return event if hit and isinstance(event, Done) else None
    except NotCached:
        return None


def _call(text: str, rules: CacheRules = FREELY) -> Call:
    return Call("chat", "m", {"model": "m", "messages": [{"role": "user", "content": text}]}, rules)


def _body(text: str) -> bytes:
    """A chat completion that says `text`."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    told = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(told).encode()


def _recording(text: str) -> Recording:
    return recorded("chat", "whole", [_body(text)])


def _content(done: Done | None) -> str | None:
    return done.recording.text if done else None


def _note(timed: Timed, begun: int, spent: int) -> None:
    timed.cpu.append((time.process_time_ns() - spent) / 1e6)
    timed.wall.append((time.perf_counter_ns() - begun) / 1e6)


def pinned() -> int:
    """Bind this process and its children to one core; gives its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core
