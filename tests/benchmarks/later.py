"""`python -m later HANDLER`: the streaming runtime in an environment for which ten minutes pass with every SIGUSR1.

Only the wall clock moves, which is what the gateway's promises about time are kept by; its connections stay open, so
that what a server would have closed meanwhile is not measured.
"""

from __future__ import annotations

import runpy
import signal
import time
from types import SimpleNamespace

TEN_MINUTES = 600.0

_real, _passed = time.time, [0.0]
time.time = lambda: _real() + _passed[0]
signal.signal(signal.SIGUSR1, lambda *_: _passed.__setitem__(0, _passed[0] + TEN_MINUTES))

if __name__ == "__main__":
    from awslambdaric import lambda_context

    # The host has not grown older: what is left of an event's time is told by its clock.
    lambda_context.time = SimpleNamespace(time=_real)
    runpy.run_module("subsecond.lambda_runtime.runtime", run_name="__main__", alter_sys=True)
