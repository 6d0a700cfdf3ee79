"""`make mutants`: edits the pure core wrongly, one edit at a time, and counts how many of them the tests notice.

    python -m tests.mutants.run [--only NAME] [--seed N] [--most N] [--jobs N] [--least SHARE]

One process imports what is slow and is not ours, then forks for each edit (`trials.py`). mutmut, which is well kept,
does not fit: it wants the source below `src/`, edits no decorated function and no value of a module or class (bounds,
sets of words), and counts each changed word of an error. Exit code 1 when fewer than `--least` of them are noticed.

`unnoticed.toml` says of edits that no test can notice, or that none has to, why that is so. They count as unnoticed.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from tests.mutants.edits import Edit, edits
from tests.mutants.subjects import SUBJECTS, Subject
from tests.mutants.trials import PASSED, ROOT, Outcome, Trials, prepare, run_edited, run_tests, source_of

EXPLAINED = ROOT / "tests" / "mutants" / "unnoticed.toml"


Explanations: TypeAlias = Mapping[tuple[str, str, str], str]


@dataclass(slots=True)
class Score:
    """How many edits were tried, went unnoticed, and of these have no explanation."""

    tried: int = 0
    unnoticed: int = 0
    unexplained: int = 0

    def __str__(self) -> str:
        without = f", {self.unexplained} of the others without an explanation" if self.unexplained else ""
        return f"{self.tried - self.unnoticed:4} of {self.tried:4} noticed{without}"

    @property
    def share(self) -> float:
        return 1 - self.unnoticed / self.tried if self.tried else 0.0

    def take(self, module: str, edit: Edit, why: str | None, outcome: Outcome) -> None:
        """Count one. What nobody noticed is printed at once."""
        self.tried += 1
        if outcome.code == PASSED:
            self.unnoticed += 1
            self.unexplained += why is None
            print(
                f"    {module}:{edit.line} {edit.where}\n        {edit.text}\n        {why or 'NOT EXPLAINED'}",
                flush=True,
            )

    def add(self, other: Score) -> None:
        self.tried += other.tried
        self.unnoticed += other.unnoticed
        self.unexplained += other.unexplained


def sample(found: Sequence[Edit], most: int, seed: str) -> Sequence[Edit]:
    """`most` of them, in their order, the same for the same seed. All of them where `most` is 0."""
    if not most or len(found) <= most:
        return found
    drawn = random.Random(seed).sample(range(len(found)), most)
    return [found[at] for at in sorted(drawn)]


def explanations() -> Explanations:
    """By module, function and edit."""
    told = tomllib.loads(EXPLAINED.read_text("utf-8"))
    return {
        (module, where, text): why
        for module, places in told.items()
        for where, texts in places.items()
        for text, why in texts.items()
    }


def paths(subject: Subject) -> list[str]:
    return [str(ROOT / "tests" / name) for name in subject.tests]


def measure(subjects: Sequence[Subject], trials: Trials) -> Mapping[str, float]:
    """CPU seconds that each subject's tests take without an edit. Ends the program where they fail."""
    outcomes: dict[str, Outcome] = {}
    for subject in subjects:
        trials.start(partial(run_tests, paths(subject)), partial(outcomes.__setitem__, subject.name))
    trials.finish()
    if failed := [name for name, outcome in outcomes.items() if outcome.code != PASSED]:
        sys.exit(f"Without an edit the tests fail of: {', '.join(failed)}.")
    return {name: outcome.cpu for name, outcome in outcomes.items()}


def try_subject(subject: Subject, cpu: float, seed: int, trials: Trials, why: Explanations) -> Score:
    """All its trials. cpu: what its tests take without an edit."""
    score = Score()
    for module in subject.modules:
        tree = ast.parse(source_of(module).read_text("utf-8"))
        for edit in sample(edits(tree), subject.most, f"{seed} {module}"):
            told = why.get((module, edit.where, edit.text))
            trials.start(
                partial(run_edited, module, tree, edit, paths(subject), 5 * cpu),
                partial(score.take, module, edit, told),
            )
    trials.finish()
    return score


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Edit the core wrongly and see whether a test notices.")
    parser.add_argument("--only", help="one subject, or one module")
    parser.add_argument("--seed", type=int, default=1, help="which edits are drawn (default: %(default)s)")
    parser.add_argument("--most", type=int, help="edits drawn of each module; 0: all (default: as the subject has it)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--least", type=float, default=0.9, help="exit code 1 below this share (default: %(default)s)")
    return parser.parse_args(arguments)


def chosen(only: str | None, most: int | None) -> list[Subject]:
    found = []
    for subject in SUBJECTS:
        modules = tuple(module for module in subject.modules if only in (None, subject.name, module))
        if modules:
            found.append(Subject(subject.name, modules, subject.tests, subject.most if most is None else most))
    return found


def main() -> int:
    options = options_of()
    prepare()
    begun, subjects, why = time.monotonic(), chosen(options.only, options.most), explanations()
    trials, total = Trials(options.jobs), Score()
    cpu = measure(subjects, trials)
    for subject in subjects:
        score = try_subject(subject, cpu[subject.name], options.seed, trials, why)
        print(f"{subject.name:14} {score}", flush=True)
        total.add(score)
    took = f"{time.monotonic() - begun:.0f} s, {sum(os.times()[2:4]):.0f} s of CPU"
    print(f"{'in total':14} {total}: {total.share:.1%} (seed {options.seed}; {took})")
    return 0 if total.share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
