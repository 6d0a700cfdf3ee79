"""Every command that the pages show is one: its program is ours or known, its options, parameters and paths are there.

What runs without an account is run (`tests/e2e/test_how_to.py`); the rest is held against what would refuse it: the
command line's own parser, the Makefile, the template, AWS's service models, the routes.
"""

from __future__ import annotations

import re
import shlex
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore import xform_name
from samtranslator.yaml_helper import yaml_parse

from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond_local.cli.commands import command_line

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEMPLATE = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
BLOCK = re.compile(r"^(?: {4}\S.*\n)+|^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ASSIGNED = re.compile(r"^[A-Z_]+=")
PROGRAMS = ("make", "sam", "aws", "subsecond", "curl")
# The AWS command line's own, beside an operation's members; and what `aws s3` has, which is no service's operation.
OF_AWS = {"query", "output", "region", "profile"}
OF_S3 = {"rb", "cp", "rm", "ls", "sync"}


def lines(page):
    """The shell's lines of a page's blocks, continued ones in one, without comments."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield from (found[1] or found[0]).replace("\\\n", " ").splitlines()


def commands(page):
    """(program, its words) of what is a command."""
    for line in lines(page):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a text, with one quote in it
            continue
        for part in _parts(words):
            rest = part[next((at for at, word in enumerate(part) if not ASSIGNED.match(word)), len(part)) :]
            # A program's name before a figure is a row of a table that a benchmark prints.
            if len(rest) > 1 and (name := rest[0].rpartition("/")[2]) in PROGRAMS and not rest[1][0].isdecimal():
                yield name, rest[1:]


def _parts(words):
    part: list[str] = []
    for word in words:
        if word in ("&&", "|", "&", ";"):
            yield part
            part = []
        else:
            part.append(word)
    yield part


SHOWN = [
    pytest.param(name, words, id=f"{page.name}: {name} {' '.join(words)}"[:90])
    for page in PAGES
    for name, words in commands(page)
]


def test_the_pages_show_commands_of_each_kind():
    assert {one.values[0] for one in SHOWN} == set(PROGRAMS)
    assert len(SHOWN) > 50


@pytest.mark.parametrize(("name", "words"), SHOWN)
def test_a_command_is_one(name, words):
    {"make": _make, "sam": _sam, "aws": _aws, "subsecond": _subsecond, "curl": _curl}[name](words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_makes_two_keys_of_one_name(page):
    """The second one is refused, whatever its tenant and namespace are."""
    named = [words[2] for name, words in commands(page) if (name, words[:2]) == ("subsecond", ["keys", "create"])]
    assert len(named) == len(set(named))


def _make(words):
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(words[0])}:", text, re.MULTILINE), words


def _subsecond(words):
    with pytest.raises(SystemExit) if words[-1:] == ["--help"] else nullcontext():
        command_line().parse_args([word for word in words if word != "..."])


def _sam(words):
    if words[:2] == ["local", "invoke"]:
        assert words[2] in TEMPLATE["Resources"]
        assert [path for path in words if path.endswith(".json") and not (ROOT / path).is_file()] == []
        return
    assert words[0] in ("build", "deploy", "delete", "package", "validate")
    named = {word.partition("=")[0] for word in words[1:] if re.match(r"^[A-Z]\w+=", word)}
    assert named <= TEMPLATE["Parameters"].keys()


def _aws(words):
    service, operation, *rest = words
    given = {word.lstrip("-").partition("=")[0] for word in rest if word.startswith("--")}
    if service == "s3":
        assert operation in OF_S3
        return
    model = botocore.session.get_session().get_service_model(service)
    found = next(name for name in model.operation_names if xform_name(name, "-") == operation)
    members = model.operation_model(found).input_shape.members
    assert given - OF_AWS <= {xform_name(name, "-") for name in members}


@lru_cache(maxsize=1)
def _routes():
    app = create_app(gateway(Settings(upstream="subsecond_local.simulator.adapter", stores="memory")), bare=True)
    return [route.path_regex for route in app.routes]


def _curl(words):
    [path] = [urlsplit(word).path for word in words if "://" in word or "_URL/" in word or word.startswith("$BASE")]
    path = "/v1/" + path.partition("/")[2] if "$" in path else path
    assert any(one.match(path) or one.match(path.replace("/v1/", "/", 1)) for one in _routes()), path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("make", ["nothing"]),
        ("sam", ["deploy", "--parameter-overrides", "Nothing=1"]),
        ("sam", ["local", "invoke", "Streaming", "-e", "events/nothing.json"]),
        ("aws", ["ssm", "put-parameter", "--nothing", "x"]),
        ("curl", ["$OPENAI_BASE_URL/nothing"]),
        ("curl", ["http://127.0.0.1:8000/v1/nothing"]),
    ],
)
def test_a_command_that_is_none_would_be_seen(name, words):
    with pytest.raises(AssertionError):
        test_a_command_is_one(name, words)


def test_an_option_that_is_none_would_be_seen(capsys):
    with pytest.raises(SystemExit):
        test_a_command_is_one("subsecond", ["keys", "create", "x", "--nothing"])
    assert "--nothing" in capsys.readouterr().err
