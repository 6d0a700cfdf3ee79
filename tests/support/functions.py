"""The functions' modules. Each is called `app` and lies in no package, because Lambda loads it so."""

import importlib.util
from pathlib import Path

FUNCTIONS = Path(__file__).parents[2] / "functions"


def load_function(name):
    """The module of `functions/NAME/app.py`, run anew as in a new environment."""
    spec = importlib.util.spec_from_file_location(f"function_{name}", FUNCTIONS / name / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
