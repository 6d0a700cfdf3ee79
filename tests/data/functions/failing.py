"""Fails to start once, then starts: for the Lambda host's tests."""

import os
from pathlib import Path

FLAG = Path(os.environ["GATE"]) / "failed-once"
if not FLAG.exists():
    FLAG.touch()
    raise RuntimeError("not today")


def handler(_event, _context):
    return {"statusCode": 200, "body": "up"}
