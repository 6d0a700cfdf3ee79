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
from dataclasses import dataclass, field
from functools import partial

from tests.mutants.edits import Edit, edits
from tests.mutants.subjects import SUBJECTS, Subject
from tests.mutants.trials import PASSED, ROOT, Outcome, Trials, prepare, run_edited, run_tests, source_of

EXPLAINED = ROOT / "tests" / "mutants" / "unnoticed.toml"


@dataclass(slots=True)
class Score:
    """Of one module. unnoticed: in the order of the file, when all are done."""

    module: str
    tried: int
    unnoticed: list[Edit] = field(default_factory=list)

    def take(self, edit: Edit, outcome: Outcome) -> None:
        if outcome.code == PASSED:
            self.unnoticed.append(edit)


def sample(found: Sequence[Edit], most: int, seed: str) -> Sequence[Edit]:
    """`most` of them, in their order, the same for the same seed. All of them where `most` is 0."""
    if not most or len(found) <= most:
        return found
    drawn = random.Random(seed).sample(range(len(found)), most)
    return [found[at] for at in sorted(drawn)]


def explanations() -> Mapping[tuple[str, str, str], str]:
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


def try_module(module: str, subject: Subject, cpu: float, seed: int, trials: Trials) -> Score:
    """Starts all its trials. The score is whole when these have ended."""
    tree = ast.parse(source_of(module).read_text("utf-8"))
    tried = sample(edits(tree), subject.most, f"{seed} {module}")
    score = Score(module, len(tried))
    for edit in tried:
        trials.start(partial(run_edited, module, tree, edit, paths(subject), 5 * cpu), partial(score.take, edit))
    return score


def report(subject: Subject, scores: Sequence[Score], why: Mapping[tuple[str, str, str], str]) -> None:
    tried, missed = sum(score.tried for score in scores), sum(len(score.unnoticed) for score in scores)
    print(f"{subject.name:14} {tried - missed:4} of {tried:4} noticed")
    for score in scores:
        for edit in sorted(score.unnoticed, key=lambda edit: edit.line):
            reason = why.get((score.module, edit.where, edit.text), "NOT EXPLAINED")
            print(f"    {score.module}:{edit.line} {edit.where}  {edit.text}\n        {reason}")
    sys.stdout.flush()


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
    trials, scores = Trials(options.jobs), []
    cpu = measure(subjects, trials)
    for subject in subjects:
        own = [try_module(module, subject, cpu[subject.name], options.seed, trials) for module in subject.modules]
        trials.finish()
        report(subject, own, why)
        scores += own
    tried, missed = sum(score.tried for score in scores), sum(len(score.unnoticed) for score in scores)
    share = 1 - missed / tried if tried else 0.0
    took = f"{time.monotonic() - begun:.0f} s, {sum(os.times()[2:4]):.0f} s of CPU"
    print(f"{tried - missed} of {tried} wrong edits noticed: {share:.1%} (seed {options.seed}; {took})")
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
