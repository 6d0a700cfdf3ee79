"""GPTCache in a process and an environment of its own: a line of JSON says what to do, a line of JSON says what came.

    python -I gptcache_worker.py        # with gptcache-requirements.txt installed; driven by rival_sides.Theirs

SQLite, faiss and SearchDistanceEvaluation, as `init_similar_cache` puts them together. The embedding function looks the
text up in what it was given. GPTCache installs what it misses with the `pip` that it finds; here that is an error.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sqlite3
import sys
import time
import types
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

INSTALLER = "gptcache.utils.dependency_control"


def _refuse(package: str, warn: bool = False) -> None:  # noqa: FBT001, FBT002 -- GPTCache's signature
    raise ModuleNotFoundError(f"GPTCache wants to install {package} ({warn=}): add it to gptcache-requirements.txt")


# Before GPTCache is imported, which takes the function from this module.
_installer = types.ModuleType(INSTALLER)
vars(_installer)["prompt_install"] = _refuse
sys.modules[INSTALLER] = _installer

import faiss  # noqa: E402
from gptcache import Cache, Config  # noqa: E402
from gptcache.adapter.api import get, put  # noqa: E402
from gptcache.manager import manager_factory  # noqa: E402
from gptcache.processor.pre import get_prompt  # noqa: E402
from gptcache.similarity_evaluation import SearchDistanceEvaluation  # noqa: E402


class Worker:
    """One cache, opened anew as often as wanted. Each public method is a command; its fields are the arguments."""

    def __init__(self) -> None:
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def versions(self) -> dict[str, str]:
        names = ("gptcache", "faiss-cpu", "SQLAlchemy", "numpy")
        found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
        found |= {name: version(name) for name in names}
        return found | {"faiss built with": faiss.get_compile_options().strip()}

    def know(self, texts: list[str], vectors: str) -> None:
        """The texts' vectors, (n, dim) in a .npy file."""
        self._vectors.update(zip(texts, np.load(vectors, allow_pickle=False), strict=True))

    def open(self, folder: str, dim: int, most: int, threshold: float) -> None:
        """An empty cache. `most`: its bound in entries, which is 1,000 if none is given."""
        self._manager = manager_factory(
            "sqlite,faiss", data_dir=folder, vector_params={"dimension": dim}, eviction_params={"max_size": most}
        )
        self._cache = Cache()
        self._cache.init(
            pre_embedding_func=get_prompt,
            embedding_func=self._vector,
            data_manager=self._manager,
            similarity_evaluation=SearchDistanceEvaluation(),
            config=Config(similarity_threshold=threshold),
        )

    def fill(self, texts: list[str], answers: list[str]) -> None:
        self._cache.import_data(texts, answers)

    def settle(self) -> None:
        """As the other side does before it is measured."""
        gc.collect()
        gc.freeze()

    def search(self, texts: list[str]) -> dict[str, list[Any]]:
        """The search as `get` calls it; gives the rows that were found, in the order of filling."""
        asked = [self._vectors[text] for text in texts]
        return timed(lambda vector: self._manager.search(vector, top_k=-1), asked, lambda found: found[0][1] - 1)

    def hit(self, texts: list[str], report: bool) -> dict[str, list[Any]]:  # noqa: FBT001 -- it comes as JSON
        """`report`: whether each hit is also written into its table of reports, as it is by default."""
        self._cache.config.disable_report = not report
        return timed(lambda text: get(text, cache_obj=self._cache), texts, lambda answer: answer)

    def stream(self, texts: list[str], answers: list[str], learn: bool) -> list[str | None]:  # noqa: FBT001 -- as above
        """What was answered from the cache; where nothing was and `learn` says so, the answer is stored."""
        found = []
        for text, answer in zip(texts, answers, strict=True):
            found.append(get(text, cache_obj=self._cache))
            if learn and found[-1] is None:
                put(text, answer, cache_obj=self._cache)
        return found

    def _vector(self, text: str, extra_param: object = None) -> NDArray[np.float32]:
        return self._vectors[text]


def timed(work: Callable[[Any], Any], asked: list[Any], told: Callable[[Any], Any]) -> dict[str, list[Any]]:
    """Milliseconds of each call."""
    wall, cpu, found = [], [], []
    for one in asked:
        begun, spent = time.perf_counter_ns(), time.process_time_ns()
        given = work(one)
        cpu.append((time.process_time_ns() - spent) / 1e6)
        wall.append((time.perf_counter_ns() - begun) / 1e6)
        found.append(told(given))
    return {"wall": wall, "cpu": cpu, "found": found}


def main() -> None:
    worker = Worker()
    # Whatever prints goes to stderr: stdout is the channel.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as channel:
        os.dup2(2, 1)
        for line in sys.stdin:
            order = json.loads(line)
            result = getattr(worker, order["do"])(**order["with"])
            channel.write(json.dumps(result) + "\n")
            channel.flush()


if __name__ == "__main__":
    main()
