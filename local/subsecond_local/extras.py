"""The packages that the base install leaves out, and the extra that brings each: a missing one is told by what to
install, not by a traceback."""

from __future__ import annotations

from importlib.util import find_spec

from subsecond_local.errors import LocalError

# By the module's name in Python. pyproject.toml has the extras; a test compares them.
EXTRAS = {
    "aws_lambda_powertools": "aws",
    "awslambdaric": "aws",
    "boto3": "aws",
    "botocore": "aws",
    "httpx2": "demo",
    "mangum": "aws",
    "openai": "demo",
    "ministack": "local",
    "onnxruntime": "minilm",
}


def has(module: str) -> bool:
    return find_spec(module) is not None


def need(what: str, *modules: str) -> None:
    """LocalError where what somebody chose (`STORES=aws`) needs a package that is not installed."""
    for module in modules:
        if not has(module):
            raise LocalError(missing(what, module))


def missing(what: str, module: str) -> str:
    return f"{what} needs the package {module}: pip install 'subsecond[{EXTRAS[module]}]'."
