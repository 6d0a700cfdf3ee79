"""The tool of `make mutants` makes the edits that it says, and counts one as unnoticed where the tests pass."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.edits import edits
from tests.mutants.run import PACKAGE, ROOT, spread
from tests.mutants.subjects import SUBJECTS


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
        assert all((PACKAGE / (module.replace(".", "/") + ".py")).exists() for module in subject.modules)
        assert all((ROOT / "tests" / name).exists() for name in subject.tests)


def test_some_of_many_lie_all_over_the_file():
    assert list(spread(range(10), 5)) == [0, 2, 4, 6, 8]
    assert list(spread(range(3), 5)) == [0, 1, 2]
