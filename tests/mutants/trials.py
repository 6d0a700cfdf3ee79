"""One trial: a child process in which one module is edited, and the subject's tests run until one fails.

No file is changed. A child imports the edited tree in place of the module. What hangs counts as noticed, and is told by
CPU time, not by the clock, so that a loaded machine fails nobody: too much of it, or none for a while.
"""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from tests.mutants.edits import Edit

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "shared" / "subsecond"
# Imported once, before the forks: none imports anything of ours. The last four take as long as a subject's tests.
SLOW = (
    *("numpy", "hypothesis.strategies", "pytest", "pytest_asyncio.plugin", "pydantic"),
    *("openai", "boto3", "uvicorn", "starlette.applications"),
)
PYTEST = (
    *("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin"),
    *("-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0", "--hypothesis-profile=few"),
)
PASSED, FAILED = 0, 1
CPU_SECONDS = 20  # and five times what the tests take without an edit
# A wait that nobody ends: no test of these subjects waits by the clock. Beside four busy processes the lowest priority
# still gets four times this share.
IDLE_SECONDS, IDLE_CPU = 10.0, 0.01
MOST_SECONDS = 600.0
MOST_BYTES = 6 << 30  # of addresses: a loop that appends for ever ends here, not with the machine's memory


class FirstFailure:
    """A plugin: the first failure ends the process, without pytest's tidying up, which takes longer than most tests."""

    def pytest_runtest_logreport(self, report: object) -> None:
        if report.failed:
            os._exit(FAILED)

    def pytest_collectreport(self, report: object) -> None:
        self.pytest_runtest_logreport(report)


class EditedLoader(SourceFileLoader):
    """Loads one module from an edited tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str):
        del fullname
        return compile(ast.fix_missing_locations(self._tree), self.path, "exec")


class EditedFinder:
    """Finds that module before anybody else does."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self._name, self._path, self._tree = name, path, tree

    def find_spec(self, name: str, *_about: object) -> ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_loader(name, EditedLoader(name, str(self._path), self._tree))


@dataclass(frozen=True, slots=True)
class Outcome:
    """code: pytest's, or minus the signal. cpu: seconds."""

    code: int
    cpu: float


class Trials:
    """The children that run now, at most `jobs` at a time. Calls back with each outcome, in the order of their ends."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._running: dict[int, Callable[[Outcome], None]] = {}

    def start(self, run: Callable[[], int], done: Callable[[Outcome], None]) -> None:
        while len(self._running) >= self._jobs:
            self._wait()
        sys.stdout.flush()
        child = os.fork()
        if child:
            self._running[child] = done
            return
        code = FAILED
        with suppress(BaseException):  # whatever the edit broke, it was noticed
            code = run()
        os._exit(code)

    def finish(self) -> None:
        while self._running:
            self._wait()

    def _wait(self) -> None:
        child, status, used = os.wait4(-1, 0)
        self._running.pop(child)(Outcome(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime))


def run_tests(tests: Sequence[str], cpu: float = MOST_SECONDS) -> int:
    """In a child: pytest's exit code. Nothing is printed. cpu: seconds, after which the kernel ends it."""
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    _limit(CPU_SECONDS + round(cpu))
    import pytest

    return int(pytest.main([*PYTEST, "--rootdir", str(ROOT), *tests], plugins=[FirstFailure()]))


def run_edited(module: str, tree: ast.Module, edit: Edit, tests: Sequence[str], cpu: float) -> int:
    """In a child: the tests' exit code with the edit."""
    edit.apply()
    sys.meta_path.insert(0, EditedFinder(f"subsecond.{module}", source_of(module), tree))
    return run_tests(tests, cpu)


def source_of(module: str) -> Path:
    return PACKAGE / (module.replace(".", "/") + ".py")


def prepare() -> None:
    """What all children have: the slow imports, and no plugins but ours."""
    os.chdir(ROOT)
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name in SLOW:
        importlib.import_module(name)
    import hypothesis

    hypothesis.settings.register_profile("few", max_examples=30, database=None, deadline=None)
    gc.freeze()  # pytest collects garbage several times in each child, which need not look at these


def _limit(cpu: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    begun, last = time.monotonic(), time.process_time()

    def look(*_about: object) -> None:
        nonlocal last
        used = time.process_time()
        if used - last < IDLE_CPU or time.monotonic() - begun > MOST_SECONDS:
            os._exit(FAILED)
        last = used

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, IDLE_SECONDS, IDLE_SECONDS)
