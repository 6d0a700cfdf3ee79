"""The rules of the house that are kept by a test and not by agreement."""

import ast
import json
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from subsecond.stats.trace import Step

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "shared" / "subsecond").rglob("*.py"))
ALL = SHIPPED + sorted((ROOT / "local").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Tests of the adapter that reads streams alone; they go when it goes.
LONG = {"test_openai_upstream.py"}
# Where a framework may be named. Everything else is plain Python.
EDGES = {
    "fastapi": ("api/",),
    "starlette": ("api/",),
    "mangum": ("lambda_runtime/buffered.py",),
    "aws_lambda_powertools": ("functions/", "lambda_runtime/telemetry.py", "aws/secret_stores.py"),
    "awslambdaric": ("lambda_runtime/",),
    "boto3": ("aws/client.py",),
    "botocore": (
        "aws/",
        "warmup/warm_environments.py",
        "stores/s3/",
        "stores/dynamodb/",
        "semantic/embedders/bedrock.py",
        "upstreams/converse/event_stream.py",
    ),
    "openai": ("upstreams/openai_package.py",),
    "httptools": ("upstreams/http/response_parser.py",),
    "pydantic": ("api/", "routing/parsing.py"),
}
# The rooms of the package, from the top. A room imports rooms of lower rows only.
# docs/design.md has the same table, with what each room is for.
ROWS = (
    ("warmup", "transport"),
    ("api", "lambda_runtime"),
    ("bootstrap",),
    ("pipeline",),
    ("stages",),
    ("semantic.policies", "semantic.verification"),
    ("semantic.guards", "semantic.index"),
    ("routing", "semantic.embedders"),
    ("single_flight", "upstreams", "stores.layered"),
    ("upstreams.converse",),
    ("upstreams.http", "stores.memory", "stores.dynamodb", "stores.s3"),
    ("cache",),
    ("dialects",),
    ("aio",),
    ("optimiser", "streaming", "stats", "aws"),
    ("model", "ports", "errors", "config", "clock", "resending"),
    ("setting_values",),
)
DEPTH = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
# The one circle inside a room: pydantic's shapes take 20 ms to build, which only a configured catalogue pays.
LATE = {("routing.catalogue", "routing.parsing")}
# Folders that are rooms of rooms. `upstreams` is both.
NESTED = {"semantic", "stores", "upstreams"}
CATCH_ALLS = {"aio/fail_open.py", "api/response.py", "api/batches.py"}


def name(path):
    return path.relative_to(ROOT / "shared" / "subsecond").as_posix() if path in SHIPPED else path.name


def imports(path):
    """Top-level names of all modules that the file imports, wherever in it."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def read_names(path):
    """All names and attributes that the file reads."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node.id if isinstance(node, ast.Name) else node.attr


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_frameworks_stop_at_the_edge(path):
    for module in imports(path):
        allowed = EDGES.get(module.split(".")[0])
        assert allowed is None or name(path).startswith(allowed), module


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_arrows_point_inwards(path):
    ours = {module.removeprefix("subsecond.") for module in imports(path) if module.startswith("subsecond.")}
    place = name(path)
    core = ("pipeline.py", "model.py", "ports.py", "cache/", "streaming/", "single_flight/", "optimiser/")
    adapters = ("stores/", "upstreams/", "semantic/embedders/", "semantic/policies/")
    if place.startswith((*core, *adapters)):
        assert not [module for module in ours if module.startswith(("api", "bootstrap", "lambda_runtime"))]
    if place.startswith(core):
        assert not [module for module in ours if module.startswith(("stores.", "upstreams.openai"))]
    if place.startswith(adapters):
        assert "pipeline" not in ours
    if place.startswith("lambda_runtime/") and place != "lambda_runtime/telemetry.py":
        assert not [module for module in ours if not module.startswith("lambda_runtime")]
    assert not [module for module in imports(path) if module.startswith("subsecond_local")]


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_the_environment_is_read_in_one_place(path):
    tree = ast.parse(path.read_text())
    touched = [
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    # The runtime client replaces Lambda's own entry point, whose interface is its environment.
    assert not touched or name(path) == "config.py" or name(path).startswith("lambda_runtime/")


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_only_named_places_catch_everything(path):
    broad = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
        and not isinstance(node.body[-1], ast.Raise)  # tidying up and raising again hides nothing
    ]
    assert not broad or name(path) in CATCH_ALLS or name(path).startswith("lambda_runtime/"), broad


@pytest.mark.parametrize("path", ALL, ids=name)
def test_files_and_functions_stay_short(path):
    source = path.read_text()
    assert source.count("\n") <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            length = node.end_lineno - node.lineno + 1 - docstring.count("\n")
            assert length <= 50, f"{node.name}: {length} lines"
            assert len(node.args.args) + len(node.args.kwonlyargs) <= 8, node.name
            if path in SHIPPED:
                # boto3's calls take names alone, and so do those that stand in their place.
                boto3s = ("aws/dynamodb_wire.py", "aws/s3_wire.py")
                assert node.args.kwarg is None or name(path).startswith(("lambda_runtime/", *boto3s)), (
                    f"{node.name} takes **kwargs"
                )


def module(path):
    """`cache.key` of `shared/subsecond/cache/key.py`; a folder's name for its `__init__`."""
    parts = path.relative_to(ROOT / "shared" / "subsecond").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in SHIPPED}


def room(module):
    """`semantic.index` of `semantic.index.reader`."""
    parts = module.split(".")
    inner = ".".join(parts[:2])
    return inner if parts[0] in NESTED and inner in DEPTH else parts[0]


def running(node):
    """The nodes below it that run: all but those for a type checker."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield child
            yield from running(child)


def arrows(path):
    """The package's modules that this file imports when it runs, at once or late."""
    for node in running(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module.split(".")[0] == "subsecond":
            named = [f"{node.module}.{alias.name}".removeprefix("subsecond.") for alias in node.names]
            yield from (one if one in MODULES else one.rpartition(".")[0] for one in named)


def design(heading):
    """The rows of the table below this heading of docs/design.md, as lists of cells."""
    words = (ROOT / "docs" / "design.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in words.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_table_of_rooms_in_the_docs_is_the_one_kept_here():
    told = [tuple(re.findall(r"`([\w./]+?)(?:\.py|/)?`", rooms)) for rooms, _ in design("Who may import whom")]
    assert [tuple(one.replace("/", ".") for one in row) for row in told] == list(ROWS)


def test_every_room_has_a_row():
    assert {room(one) for one in MODULES} - {"", *NESTED} == DEPTH.keys() - NESTED


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_arrows_point_down(path):
    mine = room(module(path))
    # The package itself, which has the version and nothing else, is everybody's.
    reached = {one: room(one) for one in arrows(path) if room(one)}
    assert not [one for one, other in reached.items() if other != mine and DEPTH[other] <= DEPTH[mine]]


def test_no_module_imports_itself_round_a_corner():
    found = {one: {other for other in arrows(path) if other != one} for one, path in MODULES.items()}
    for one, other in LATE:
        found[one].remove(other)
    circles = TopologicalSorter(found)
    circles.prepare()  # CycleError names the modules


def picture():
    """The words of the pipeline's picture, in its order."""
    words = (ROOT / "shared/subsecond/pipeline.py").read_text().split("    authenticate ")[1].split("\n")[0]
    return ["authenticate", *words.replace("->", " ").split()]


def timed(path):
    """The steps that this file measures, in the order of its lines."""
    return [Step[member] for member in re.findall(r"\.step\(Step\.(\w+)\)", path.read_text())]


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_files_of_tests_have_one_subject(path):
    assert path.read_text().count("\n") <= 500 or path.name in LONG


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_no_test_loads_a_file_by_its_path(path):
    # Functions are called `app` and lie in no package: `tests.support.functions` loads them for all tests.
    assert path.parent.name == "support" or "spec_from_file_location" not in read_names(path)


PIPELINE = ROOT / "shared/subsecond/pipeline.py"
# What is called beside the stages' own work: a refresh that begins early, and what is learned from an answer.
BESIDE = {"begin", "learn"}


def named_in_pipeline():
    """The stage of each name in the pipeline: of a function that it imports from a stage's module, and of a field, an
    argument or a variable whose type is that module's class."""
    tree = ast.parse(PIPELINE.read_text())
    stages = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("subsecond.stages."):
            stages |= {alias.name: node.module.rpartition(".")[2] for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            types = {stages[one] for one in re.findall(r"\w+", ast.unparse(node.annotation)) if one in stages}
            if len(types) == 1:
                stages[node.arg if isinstance(node, ast.arg) else node.target.id] = types.pop()
    return tree, stages


def called(method, methods, stages):
    """The stages whose module this method calls into, in the order of its lines; its own methods' calls are read where
    they are called."""
    calls = [node for node in ast.walk(methods[method]) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.func.lineno, node.func.col_offset)):
        *owners, name = ast.unparse(call.func).split(".")
        if owners == ["self"] and name != method:
            yield from called(name, methods, stages)
        elif name not in BESIDE and (stage := stages.get(owners[-1] if owners else name)):
            yield stage


def test_the_pipeline_is_short_and_tells_its_stages_in_order():
    assert PIPELINE.read_text().count("\n") <= 130
    places = [list(Step).index(step) for step in timed(PIPELINE)]
    assert places == sorted(places)


def test_every_word_of_the_picture_is_a_call_into_the_stages_module_of_that_name():
    tree, stages = named_in_pipeline()
    methods = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    calls = [*called("authenticate", methods, stages), *called("complete", methods, stages)]
    assert list(dict.fromkeys(calls)) == picture()
    # Embeddings have no picture of their own: they are looked up by item, in one stage.
    others = {"__init__", "embeddings"}
    assert {path.stem for path in PIPELINE.parent.glob("stages/*.py")} - others == set(picture())


def test_the_pipeline_hands_no_function_of_its_own_to_others():
    """What runs is read here: no method, closure or partial of the pipeline is called from another folder."""
    tree = ast.parse(PIPELINE.read_text())
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    methods = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Lambda)
        own = isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self" and node.attr in methods
        assert not own or id(node) in called, ast.unparse(node)
    assert not {"functools", "types"} & set(imports(PIPELINE))


def test_every_word_of_the_picture_is_a_step_that_is_measured():
    assert picture() == [step for step in Step if step is not Step.PARSE]
    assert {step for path in SHIPPED for step in timed(path)} == set(Step)


def test_the_page_shows_the_steps_in_their_order():
    page = (ROOT / "shared/subsecond/page/page.js").read_text()
    assert json.loads(re.search(r"const STEPS = (\[.*\]);", page)[1]) == list(Step)


def loaded(code):
    """The modules that this code loads in a fresh interpreter."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(ran.stdout.splitlines()[-1]))


HIT = """
import asyncio, time
from subsecond.api.app import create_app
from subsecond.bootstrap import gateway
from subsecond.config import Settings
from subsecond.model import Call, Done, Entry, Recording, Tenant
from subsecond.cache.key import prepare
from subsecond.stats.trace import Trace
made = gateway(Settings(upstream_url="http://127.0.0.1:9/v1", api_key="k"))
create_app(made, bare=True)
tenant, call = Tenant("local", "default", "default"), Call("chat", "m", {"messages": []})
async def hit():
    answer = Recording("whole", (b"{}",), "stop", "m")
    await made.exact.put(Entry(tenant.partition, prepare(call, tenant), answer, time.time(), time.time() + 9))
    events = [event async for event in made.complete(tenant, call, Trace())]
    assert isinstance(events[-1], Done) and events[0].source == "exact"
asyncio.run(hit())
"""


def test_a_hit_loads_neither_the_upstream_client_nor_numpy_nor_aws():
    assert not loaded(HIT) & {"openai", "httpx2", "numpy", "boto3", "botocore", "fastapi"}


def test_importing_the_core_loads_no_framework():
    assert not loaded("import subsecond.pipeline") & {"fastapi", "starlette", "pydantic", "openai", "boto3", "numpy"}
