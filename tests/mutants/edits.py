"""The small wrong edits of a module: what a slip of the hand, or a careless change, would leave behind.

Each is one change of the syntax tree. Left alone is what no behaviour hangs on: docstrings, annotations, log lines,
the words of an error, `assert`, `TYPE_CHECKING`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

COMPARED: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
COUNTED: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
CALLED = {"min": "max", "max": "min", "any": "all", "all": "any"}
SILENT = ("log", "logger", "warnings")
WIDTH = 70


@dataclass(frozen=True, slots=True)
class Edit:
    """`place[key]`, or the attribute `key` of a node, becomes `new`. Applied to the tree that it was found in.
    where: the class and function around it, `module` outside of them."""

    place: ast.AST | list[ast.AST]
    key: str | int
    new: ast.AST
    line: int
    where: str
    text: str

    def apply(self) -> None:
        if isinstance(self.place, list):
            self.place[int(self.key)] = self.new
        else:
            setattr(self.place, str(self.key), self.new)


def edits(tree: ast.Module) -> list[Edit]:
    """All of them, in the order of the file."""
    return list(_inside(tree, ()))


def _inside(node: ast.AST, around: tuple[str, ...]) -> Iterator[Edit]:
    if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        around = (*around, node.name)
    where = ".".join(around) or "module"
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        places = [(value, at, child) for at, child in enumerate(value)] if isinstance(value, list) else []
        places += [(node, name, value)] if isinstance(value, ast.AST) else []
        for place, key, child in places:
            if not isinstance(child, ast.AST) or _is_silent(child):
                continue
            for new, words in _changed(child):
                yield Edit(place, key, ast.copy_location(new, child), getattr(child, "lineno", 0), where, words)
            yield from _inside(child, around)


def _is_silent(node: ast.AST) -> bool:
    """What nothing hangs on, or what only words an error."""
    if isinstance(node, (ast.Assert, ast.Raise, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
        return True
    if isinstance(node, ast.Assign):
        value = ast.unparse(node.value)
        return ast.unparse(node.targets[0]) in ("__slots__", "__all__") or value.startswith("Literal[")
    if not isinstance(node, ast.Expr):
        return False
    call = node.value
    return isinstance(call, ast.Constant) or (
        isinstance(call, ast.Call) and ast.unparse(call.func).partition(".")[0] in SILENT
    )


def _changed(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for kind, change in CHANGES.items():
        if isinstance(node, kind):
            for new in change(node):
                yield new, _told(*(" ".join(ast.unparse(one).split()) or "(nothing)" for one in (node, new)))


def _told(old: str, new: str) -> str:
    """What was, and what becomes of it: of long texts from shortly before the first difference on."""
    same = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), len(new))
    begins = max(0, same - 20) if max(len(old), len(new)) > WIDTH else 0
    return "  ->  ".join(_cut(text, begins) for text in (old, new))


def _cut(text: str, begins: int) -> str:
    text = f"...{text[begins:]}" if begins else text
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _compare(node: ast.Compare) -> Iterator[ast.AST]:
    for at, op in enumerate(node.ops):
        ops = [COMPARED[type(op)]() if place == at else one for place, one in enumerate(node.ops)]
        yield ast.Compare(node.left, ops, node.comparators)


def _bool(node: ast.BoolOp) -> Iterator[ast.AST]:
    """Each part left out: of a condition, of `value or default`."""
    for at in range(len(node.values)):
        rest = node.values[:at] + node.values[at + 1 :]
        yield rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _binary(node: ast.BinOp) -> Iterator[ast.AST]:
    if type(node.op) in COUNTED:
        yield ast.BinOp(node.left, COUNTED[type(node.op)](), node.right)


def _not(node: ast.UnaryOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Not):
        yield node.operand


def _constant(node: ast.Constant) -> Iterator[ast.AST]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, (int, float)):
        yield ast.Constant(node.value + 1)


def _call(node: ast.Call) -> Iterator[ast.AST]:
    name = ast.unparse(node.func)
    if name in CALLED:
        yield ast.Call(ast.Name(CALLED[name], ast.Load()), node.args, node.keywords)
    if name == "asyncio.shield":
        yield node.args[0]
    for at, keyword in enumerate(node.keywords):
        if keyword.arg:
            yield ast.Call(node.func, node.args, node.keywords[:at] + node.keywords[at + 1 :])


def _statement(node: ast.Expr) -> Iterator[ast.AST]:
    """A call for its effect, left out."""
    if isinstance(node.value, (ast.Call, ast.Await)):
        yield ast.Pass()


def _if(node: ast.If) -> Iterator[ast.AST]:
    """Never, and always."""
    for value in (False, True):
        yield ast.If(ast.Constant(value), node.body, node.orelse)


def _assign(node: ast.Assign) -> Iterator[ast.AST]:
    if isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
        yield ast.Pass()


def _count(node: ast.AugAssign) -> Iterator[ast.AST]:
    yield ast.Pass()


def _several(node: ast.Tuple | ast.List | ast.Set) -> Iterator[ast.AST]:
    """Each part of an identity, each entry of a list of words, left out."""
    if isinstance(getattr(node, "ctx", None), ast.Load) or isinstance(node, ast.Set):
        for at in range(len(node.elts)):
            rest = node.elts[:at] + node.elts[at + 1 :]
            if rest or not isinstance(node, ast.Set):
                yield type(node)(rest, ast.Load()) if not isinstance(node, ast.Set) else ast.Set(rest)


def _dict(node: ast.Dict) -> Iterator[ast.AST]:
    for at in range(len(node.keys)):
        yield ast.Dict(node.keys[:at] + node.keys[at + 1 :], node.values[:at] + node.values[at + 1 :])


def _return(node: ast.Return) -> Iterator[ast.AST]:
    if node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.Return(ast.Constant(None))


CHANGES = {
    ast.Compare: _compare, ast.BoolOp: _bool, ast.BinOp: _binary, ast.UnaryOp: _not, ast.Constant: _constant,
    ast.Call: _call, ast.Expr: _statement, ast.If: _if, ast.Assign: _assign, ast.AugAssign: _count,
    (ast.Tuple, ast.List, ast.Set): _several, ast.Dict: _dict, ast.Return: _return,
}  # fmt: skip
