"""What a function loads before its first request: modules, and processor time beside the bare runtime client of the
same run. The table in docs/operations.md is printed by `python tests/unit/test_imports.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a function may load beside the runtime client's own modules. A new import that is needed raises it, on purpose.
# Each is the most that was seen, with tables or without, and a twentieth: Pythons differ by a few of their own modules
# (3.13 has three more than 3.11), and the parser of answers (ten) loads in a thread that may be done or not.
BUDGET = {"streaming": 376, "completion": 387, "cache_stats": 528, "prewarm": 262, "indexer": 365, "verify": 256}
FRAMEWORKS = ("fastapi", "mangum", "starlette", "pydantic", "boto3", "numpy", "openai", "httpx2")
# What each may load of them.
MAY_LOAD = {
    "streaming": {"starlette"},
    "completion": {"starlette", "mangum"},
    "cache_stats": {"starlette", "pydantic", "fastapi", "mangum"},
    "prewarm": set(),
    "indexer": {"numpy"},
    "verify": set(),
}
# Measured: 5 to 7 in memory, without boto3. FastAPI alone would add 5.
RATIO = 9.0
MEASURE = """
import sys
sys.path.insert(0, {folder!r})
import awslambdaric.bootstrap
before = set(sys.modules)
{code}
import json, resource
used = resource.getrusage(resource.RUSAGE_SELF)
pages = int(open("/proc/self/statm").read().split()[1])
print(json.dumps([sorted(set(sys.modules) - before), used.ru_utime + used.ru_stime, pages]))
sys.stdout.flush()
import os
os._exit(0)
"""
IN_TABLES = {"SUBSECOND_STORES": "aws"}


def measured(function, code="import app", **variables):
    """Modules beside the runtime client's, seconds of processor time, resident pages: of a fresh process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SUBSECOND_", "AWS_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept |= {"SUBSECOND_UPSTREAM_URL": "http://127.0.0.1:9/v1", "SUBSECOND_API_KEY": "k", **variables}
    kept |= {"AWS_LAMBDA_FUNCTION_NAME": function, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    kept |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_SERVICE_NAME": "subsecond"}
    source = MEASURE.format(folder=str(ROOT / "functions" / function), code=code)
    command = [sys.executable, "-c", source]
    ran = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("function", BUDGET)
def test_a_function_loads_no_more_than_its_budget(function):
    modules, _, _ = measured(function)
    assert BUDGET[function] * 0.8 < len(modules) <= BUDGET[function]
    loaded = {name for name in FRAMEWORKS if name in modules}
    assert loaded <= MAY_LOAD[function]


@pytest.mark.parametrize("function", BUDGET)
def test_a_function_with_tables_loads_its_way_to_them_before_a_request_comes_and_no_boto3(function):
    modules, _, _ = measured(function, **IN_TABLES)
    assert BUDGET[function] * 0.8 < len(modules) <= BUDGET[function]
    # The others serve events and readers of figures, who can wait for it.
    assert ("subsecond.aws.dynamodb_wire" in modules) == (function in {"streaming", "completion"})
    assert {name for name in FRAMEWORKS if name in modules} <= MAY_LOAD[function]
    assert not any(name.startswith("botocore.") for name in modules)  # Powertools looks whether there is a botocore


def test_bedrock_as_the_upstream_waits_for_a_miss_with_what_it_has_of_botocore():
    modules, _, _ = measured("streaming", SUBSECOND_UPSTREAM="bedrock", **IN_TABLES)
    assert "subsecond.upstreams.bedrock" in modules
    assert not any(name.startswith(("botocore.", "boto3")) for name in modules)


def test_an_environment_that_is_started_ahead_loads_what_a_miss_needs_too():
    ahead = {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency", "SUBSECOND_SEMANTIC": "threshold"}
    modules, _, _ = measured("streaming", **ahead)
    assert {"httptools", "numpy"} <= set(modules)
    assert not {"openai", "httpx2"} & set(modules)


def test_the_streaming_functions_start_is_a_small_multiple_of_the_bare_runtime_clients():
    # The least of some, in turn: what disturbs a run only ever adds.
    pairs = [(measured("streaming")[1], measured("streaming", code="")[1]) for _ in range(3)]
    assert min(ours for ours, _ in pairs) < RATIO * min(bare for _, bare in pairs)


def table(rounds=5):
    """Each function with its tables, and the parts: the medians."""
    cases = {
        "bare runtime client": ("streaming", "", {}),
        "boto3, DynamoDB client": ("streaming", "import boto3; boto3.client('dynamodb')", {}),
        "FastAPI": ("streaming", "import fastapi", {}),
        "Starlette": ("streaming", "import starlette.applications, starlette.requests, starlette.responses", {}),
        "pydantic (two models)": ("streaming", "from subsecond.api import bodies", {}),
        "Powertools Logger, Metrics": ("streaming", "from subsecond.lambda_runtime import telemetry", {}),
        "openai": ("streaming", "import openai", {}),
        "numpy": ("streaming", "import numpy", {}),
        **{f"`{name}`": (name, "import app", IN_TABLES) for name in BUDGET},
        "`streaming`, started ahead": (
            "streaming",
            "import app",
            {
                **IN_TABLES,
                "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency",
                "SUBSECOND_STORE_TIMEOUT": "0.01",
            },
        ),
    }
    found = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (function, code, variables) in cases.items():
            found[name].append(measured(function, code, **variables))
    bare = sorted(one[1] for one in found["bare runtime client"])[rounds // 2]
    for name, runs in found.items():
        modules, cpu, memory = sorted(runs, key=lambda one: one[1])[rounds // 2]
        loaded = ", ".join(one for one in FRAMEWORKS if one in modules)
        print(f"| {name} | {len(modules)} | {cpu / bare:.1f} | {memory * 4096 // 1_000_000} | {loaded} |")


if __name__ == "__main__":
    table()
