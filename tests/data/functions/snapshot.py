"""SnapStart hooks that leave a trace, for the Lambda host's tests."""

import os
from pathlib import Path

from snapshot_restore_py import register_after_restore, register_before_snapshot

from subsecond.lambda_runtime.http_stream import HttpStream

done = ["imported"]


@register_before_snapshot
def before():
    done.append("before")
    if os.environ.get("FAIL"):
        raise RuntimeError("no snapshot")


@register_after_restore
def after():
    done.append("after")


def handler(_event, _context):
    assert Path(os.environ["LAMBDA_TASK_ROOT"]) == Path(__file__).parent
    return HttpStream(200, {}, chunks=[" ".join(done).encode()])
