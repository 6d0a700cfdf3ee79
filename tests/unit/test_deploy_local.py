"""`make deploy-local` where it cannot run: nothing was proved, so it is no success unless somebody says so."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ({}, 1, "Install it, or set ALLOW_SKIP=1"),
        ({"ALLOW_SKIP": ""}, 1, "ALLOW_SKIP"),
        ({"ALLOW_SKIP": "1"}, 0, "skipped"),
    ],
)
def test_without_the_functions_python_it_fails_unless_skipping_is_allowed(tmp_path, more, code, said):
    kept = {name: value for name, value in os.environ.items() if name != "ALLOW_SKIP"}
    nowhere = {"PATH": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    command = (sys.executable, "-m", "subsecond_local.deploy.deploy_local")
    ran = subprocess.run(command, env={**kept, **nowhere, **more}, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    assert said in ran.stdout + ran.stderr
