"""`make mutants`: edits the pure core wrongly, one edit at a time, and counts how many of them the tests notice.

    python -m tests.mutants.run [--only NAME] [--jobs N] [--least SHARE]

One process imports what is slow and is not ours, then forks for each edit: the child imports the edited module in place
of the real one and runs the subject's tests until one fails. No file is changed. mutmut, which is well kept, does not
fit: it wants the source below `src/`, edits no decorated function and no value of a module or class (bounds, sets of
words), and counts each changed word of an error. Exit code 1 when fewer than `--least` of the edits are noticed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from tests.mutants.edits import Edit, edits
from tests.mutants.subjects import SUBJECTS, Subject

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "shared" / "subsecond"
# Imported once, before the forks: none of them imports anything of ours.
SLOW = ("numpy", "hypothesis.strategies", "pytest", "pytest_asyncio.plugin", "pydantic")
PYTEST = (
    *("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin"),
    *("-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0", "--hypothesis-profile=few"),
)
PASSED, FAILED = 0, 1


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


class Trials:
    """The children that run now, at most `jobs` at a time."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._running: dict[int, str] = {}
        self.outcomes: dict[str, int] = {}

    def start(
        self, name: str, tests: Sequence[str], seconds: float, finder: EditedFinder | None, edit: Edit | None
    ) -> None:
        while len(self._running) >= self._jobs:
            self._wait()
        child = os.fork()
        if child:
            self._running[child] = name
            return
        try:
            code = _tested(tests, seconds, finder, edit)
        except BaseException:  # noqa: BLE001 -- whatever the edit broke, it was noticed
            code = FAILED
        os._exit(code)

    def finish(self) -> None:
        while self._running:
            self._wait()

    def _wait(self) -> None:
        child, status = os.wait()
        self.outcomes[self._running.pop(child)] = os.waitstatus_to_exitcode(status)


def _tested(tests: Sequence[str], seconds: float, finder: EditedFinder | None, edit: Edit | None) -> int:
    """In the child: pytest's exit code. One that hangs is ended by the kernel, which counts as noticed."""
    if edit:
        silent = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(silent, stream)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if edit and finder:
        edit.apply()
        sys.meta_path.insert(0, finder)
    import pytest

    return int(pytest.main([*PYTEST, "--rootdir", str(ROOT), *tests]))


def spread(found: Sequence[Edit], most: int) -> Sequence[Edit]:
    """`most` of them at equal distances."""
    if not most or len(found) <= most:
        return found
    return [found[at * len(found) // most] for at in range(most)]


def paths(subject: Subject) -> list[str]:
    return [str(ROOT / "tests" / name) for name in subject.tests]


def try_subject(subject: Subject, jobs: int) -> Iterator[tuple[str, int, list[str]]]:
    """For each module: its name, the edits tried, those that nobody noticed."""
    begun = time.monotonic()
    first = Trials(1)
    first.start("as it is", paths(subject), 600.0, None, None)
    first.finish()
    if first.outcomes["as it is"] != PASSED:
        sys.exit(f"The tests of {subject.name!r} fail without an edit.")
    limit = 30.0 + 8 * (time.monotonic() - begun)
    for module in subject.modules:
        path = PACKAGE / (module.replace(".", "/") + ".py")
        tree = ast.parse(path.read_text("utf-8"))
        finder = EditedFinder(f"subsecond.{module}", path, tree)
        trials, tried = Trials(jobs), spread(edits(tree), subject.most)
        for at, edit in enumerate(tried):
            trials.start(
                f"{at:04} {path.relative_to(ROOT)}:{edit.line}  {edit.text}", paths(subject), limit, finder, edit
            )
        trials.finish()
        yield module, len(tried), sorted(name[5:] for name, code in trials.outcomes.items() if code == PASSED)


def prepare() -> None:
    """What all children have: the slow imports, and no plugins but ours."""
    os.chdir(ROOT)
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for name in SLOW:
        importlib.import_module(name)
    import hypothesis

    hypothesis.settings.register_profile("few", max_examples=30, database=None)


def main() -> int:
    parser = argparse.ArgumentParser(description="Edit the core wrongly and see whether a test notices.")
    parser.add_argument("--only", help="one subject, or one module")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--least", type=float, default=0.9, help="exit code 1 below this share (default: %(default)s)")
    options = parser.parse_args()
    prepare()
    begun, tried, missed = time.monotonic(), 0, 0
    for subject in SUBJECTS:
        if options.only and options.only != subject.name and options.only not in subject.modules:
            continue
        for module, count, unnoticed in try_subject(subject, options.jobs):
            tried, missed = tried + count, missed + len(unnoticed)
            print(f"{subject.name:14} {module:26} {count - len(unnoticed):4} of {count:4} noticed", flush=True)
            for line in unnoticed:
                print(f"    {line}", flush=True)
    share = 1 - missed / tried if tried else 0.0
    took = f"{time.monotonic() - begun:.0f} s, {sum(os.times()[2:4]):.0f} s of CPU"
    print(f"{tried - missed} of {tried} wrong edits noticed: {share:.1%} ({took})")
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
