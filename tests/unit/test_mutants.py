"""The tool of `make mutants` makes the edits that it says, and counts one as unnoticed where the tests pass."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.edits import edits
from tests.mutants.run import explanations, sample
from tests.mutants.subjects import SUBJECTS
from tests.mutants.trials import ROOT, source_of


def made(source: str) -> set[str]:
    """The source after each edit."""
    found = set()
    for at in range(len(edits(ast.parse(source)))):
        tree = ast.parse(source)
        edits(tree)[at].apply()
        found.add(ast.unparse(ast.fix_missing_locations(tree)))
    return found


@pytest.mark.parametrize(
    ("source", "edited"),
    [
        ("a < b", {"a <= b"}),
        ("a is None", {"a is not None"}),
        ("a and b", {"a", "b"}),
        ("a or b", {"a", "b"}),
        ("a - b", {"a + b"}),
        ("not a", {"a"}),
        ("x = 1", {"x = 2"}),
        ("x = True", {"x = False"}),
        ("x = min(a)", {"x = max(a)"}),
        ("x = await asyncio.shield(a)", {"x = await a"}),
        ("x = f(a=b)", {"x = f()"}),
        ("slot.release()", {"pass"}),
        ("self.x = y", {"pass"}),
        ("count += y", {"pass"}),
        ("x = (a, b)", {"x = (b,)", "x = (a,)"}),
        ("x = {a: b}", {"x = {}"}),
        ("if a:\n    b", {"if False:\n    b", "if True:\n    b"}),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("raise ValueError(a < 1)", set()),
        ("log.warning('x', a)", set()),
        ("assert a < b", set()),
        ("'words'", set()),
        ("Place: TypeAlias = tuple[str, str]", set()),
        ("def f(a: int | None) -> (x, y): g", set()),
    ],
)
def test_the_edits_of_a_line(source, edited):
    assert made(source) == {ast.unparse(ast.parse(one)) for one in edited}


def test_what_is_named_is_there():
    for subject in SUBJECTS:
        assert all(source_of(module).exists() for module in subject.modules)
        assert all((ROOT / "tests" / name).exists() for name in subject.tests)


def test_a_seed_draws_the_same_edits_and_another_seed_others():
    found = list(range(100))
    assert sample(found, 20, "1 key") == sample(found, 20, "1 key") != sample(found, 20, "2 key")
    assert sample(found, 20, "1 key") == sorted(set(sample(found, 20, "1 key")))
    assert sample(found, 0, "1 key") == found == sample(found, 100, "1 key")


def test_what_is_explained_is_an_edit_of_a_subject():
    """Where the code has moved on, its explanation has to."""
    made = {
        (module, edit.where, edit.text)
        for module in {module for subject in SUBJECTS for module in subject.modules}
        for edit in edits(ast.parse(source_of(module).read_text("utf-8")))
    }
    assert set(explanations()) <= made


def test_a_long_edit_is_told_from_its_difference_on():
    source = f"x = Found({', '.join(f'name_{at}=value_{at}' for at in range(9))})"
    told = {edit.text for edit in edits(ast.parse(source))}
    assert len(told) == 9
    assert all(len(text) <= 2 * 70 + len("  ->  ") for text in told)


def test_an_edit_says_where_it_is():
    assert [edit.where for edit in edits(ast.parse("x = 1\nclass A:\n    def f(self):\n        y = 2"))] == [
        "module",
        "A.f",
    ]
