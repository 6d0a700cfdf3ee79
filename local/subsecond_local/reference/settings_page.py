"""docs/settings.md, made of `config.py` and of the code that reads each setting: `make docs` writes it, and a test
fails where it is stale.

The words are the comments of `Settings`: each comment stands above the table of the fields that follow it.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from math import inf
from pathlib import Path
from typing import Any, get_type_hints

from subsecond import config
from subsecond.config import Settings
from subsecond.setting_values import ADAPTERS, BOUNDS, BY_MODEL, OF_THE_STACK, PREFIX, SECRETS, SETTINGS, choices

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "settings.md"
# Where settings are read, and what the names of rooms there are relative to.
READERS = {
    ROOT / "shared" / "subsecond": ROOT / "shared" / "subsecond",
    ROOT / "local" / "subsecond_local": ROOT / "local" / "subsecond_local",
    ROOT / "functions": ROOT,
}
HEAD = f"""# Settings

Made by `make docs` from `config.py`. The variable of a setting is its name in capitals behind `{PREFIX}`; times are in
seconds. `{SETTINGS}` holds any of them in one JSON object, by the names of the first column, and wins over variables:
`{{"max_batch": 128}}`, or where that lies (`ssm:NAME`, `secretsmanager:NAME`). What does not fit ends the start with
words that say why.

On AWS that is the stack's parameter `Settings`. What has a parameter of its own is set by that, and refused in
`Settings`; what the stack decides by itself (*stack*) is nobody's to set; a *secret* is taken only from a parameter of
Systems Manager. The last column names the rooms of the code in which a setting takes effect.
"""
UNITS = {
    **dict.fromkeys(("max_body", "index_memory"), "bytes"),
    **dict.fromkeys(("output_reserve", "context_budget", "expected_answer"), "tokens"),
    "hedge_allowance": "calls",
    "embedder_dim": "numbers of a vector",
}
ENDS = {"_bytes": "bytes", "_tokens": "tokens", "_calls": "calls", "_threads": "threads"}
MIB = 1024 * 1024


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for words, names in _groups():
        if words:
            parts.append(f"\n{words}\n")
        parts += ["\n| setting | default | | on AWS | in |\n|---|---|---|---|---|\n", *map(_row, names)]
    return "".join(parts)


def _groups() -> Iterator[tuple[str, list[str]]]:
    """Each comment of the class with the fields below it."""
    lines = inspect.getsource(Settings).splitlines()
    words: list[str] = []
    names: list[str] = []
    for line in lines[lines.index('    """', 5) + 1 :]:
        text = line.strip()
        if text.startswith("def "):
            break
        if text.startswith("#") or not text:
            if names:
                yield _paragraph(words), names
                words, names = [], []
            words += [text.removeprefix("#").strip()] if text else []
        elif field := re.match(r"(\w+): ", text):
            names.append(field[1])
    if names:
        yield _paragraph(words), names


def _paragraph(words: Iterable[str]) -> str:
    return "\n".join(textwrap.wrap(" ".join(words), 120, break_long_words=False, break_on_hyphens=False))


def _row(name: str) -> str:
    kind = get_type_hints(Settings)[name]
    default = next(field.default for field in fields(Settings) if field.name == name)
    cells = (f"`{name}`", _value(name, default), _form(name, kind), _on_aws(name), ", ".join(_readers()[name]))
    return f"| {' | '.join(cells)} |\n"


def _value(name: str, default: object) -> str:
    if default == "":
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int) and _unit(name) == "bytes" and default % MIB == 0:
        return f"`{default}` ({default // MIB} MiB)"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _form(name: str, kind: type) -> str:
    """Its unit, its choices or bounds."""
    if kind is bool:
        return "true or false"
    if kind is str:
        found = ", ".join(f"`{choice}`" for choice in choices(name) if choice)
        return found or (f"`PATTERN={_value_by_pattern(name)}, ...`" if name in BY_MODEL else "text")
    least, most = BOUNDS.get(name, (0.0, inf))
    if most != inf:
        return f"{least:g} to {most:g}"
    return _unit(name) or ("seconds" if kind is float else "a whole number")


def _value_by_pattern(name: str) -> str:
    wanted = BY_MODEL[name]
    return "LEVEL" if isinstance(wanted, tuple) else {int: "NUMBER", Path: "FILE"}.get(wanted, "NAME")


def _unit(name: str) -> str:
    return UNITS.get(name) or next((unit for end, unit in ENDS.items() if name.endswith(end)), "")


def _on_aws(name: str) -> str:
    if name in SECRETS:
        return "`Settings`, *secret*"
    parameter = OF_THE_STACK.get(name)
    if parameter is None:
        return "`Settings`"
    return f"`{parameter}`" if parameter else "*stack*"


@cache
def _readers() -> dict[str, list[str]]:
    """The rooms that read each setting, by its name: a module would move more often than this page is made."""
    names = {field.name for field in fields(Settings)}
    found: dict[str, dict[str, None]] = {name: {} for name in names}
    for path in sorted(path for folder in READERS for path in folder.rglob("*.py")):
        if path == Path(config.__file__):
            continue
        for name in names & set(_read_in(ast.parse(path.read_text(encoding="utf-8")))):
            found[name][_room(path)] = None
    # What names an adapter is read by its port's name, in one place.
    return {name: ["`bootstrap.py`"] if name in (*ADAPTERS, "stores") else list(found[name]) for name in names}


def _room(path: Path) -> str:
    place = path.relative_to(next(base for folder, base in READERS.items() if path.is_relative_to(folder)))
    return f"`{place}`" if place.parent == Path() else f"`{place.parts[0]}/`"


def _read_in(tree: ast.AST) -> Iterator[str]:
    """The attributes that are taken of something called settings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_settings(node.value):
            yield node.attr


def _is_settings(value: Any) -> bool:
    name = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
    return name.lstrip("_") == "settings"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
