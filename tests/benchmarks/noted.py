"""`python -m noted HANDLER`: the streaming runtime, which prints when each part of a request began and ended.

On the monotonic clock, which all processes of a machine share. For `cold_miss.py`.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from functools import wraps

BEGUN = time.monotonic()


@contextmanager
def noted(what: str):
    begun = time.monotonic()
    try:
        yield
    finally:
        print(json.dumps({"noted": what, "from": begun, "to": time.monotonic()}), file=sys.stderr, flush=True)


def note_blocking(owner: type, method: str, name) -> None:
    """name: what to call a call, from its arguments."""
    original = getattr(owner, method)

    @wraps(original)
    def call(*args, **options):
        with noted(name(*args)):
            return original(*args, **options)

    setattr(owner, method, call)


def note_async(owner: type, method: str, name) -> None:
    original = getattr(owner, method)

    @wraps(original)
    async def call(*args, **options):
        with noted(name(*args)):
            return await original(*args, **options)

    setattr(owner, method, call)


def called(method: str, target: str) -> str:
    """DynamoDB's calls have a target."""
    return f"DynamoDB {target.rpartition('.')[2]}" if target else f"S3 {method}"


def note_all() -> None:
    from subsecond.aio.lazy import Lazy
    from subsecond.aws.wire import Wire
    from subsecond.lambda_runtime import runtime_client
    from subsecond.stats.trace import StepTimer
    from subsecond.upstreams.http.transport import Transport

    note_blocking(Wire, "ask", lambda _, method, __, fields, *___: called(method, fields.get("x-amz-target", "")))
    note_async(Transport, "open", lambda *_: "connection to the upstream")
    note_async(Transport, "send", lambda *_: "the model, to its first byte")
    note_async(runtime_client, "_post", lambda *_: "the response, to its end")
    note_async(runtime_client, "_awaited", lambda *_: "after the response")
    made = Lazy.__init__

    def init(lazy, make):
        def noted_make():
            with noted(f"loading: {getattr(make, 'func', make).__qualname__}"):
                return make()

        made(lazy, noted_make)

    Lazy.__init__ = init
    enter, leave = StepTimer.__enter__, StepTimer.__exit__

    def leave_noted(timer, *error):
        end = time.monotonic()
        passed = time.perf_counter() - timer._begun
        line = {"noted": f"step {timer._step}", "from": end - passed, "to": end}
        print(json.dumps(line), file=sys.stderr, flush=True)
        return leave(timer, *error)

    StepTimer.__enter__, StepTimer.__exit__ = enter, leave_noted


if __name__ == "__main__":
    from subsecond.lambda_runtime.runtime import main
    from subsecond.lambda_runtime.runtime_client import StreamingRuntimeClient

    asked = StreamingRuntimeClient.wait_next_invocation

    def first_asked(client):
        StreamingRuntimeClient.wait_next_invocation = asked
        line = {"noted": "imports, and all that is made", "from": BEGUN, "to": time.monotonic()}
        print(json.dumps(line), file=sys.stderr, flush=True)
        return asked(client)

    StreamingRuntimeClient.wait_next_invocation = first_asked
    note_all()
    main(sys.argv)
