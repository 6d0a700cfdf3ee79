"""`python -m subsecond.lambda_runtime.runtime HANDLER`: what the exec wrapper starts instead of AWS's own bootstrap.

Nothing is defined here that a handler might import: a module run with -m is `__main__`, and importing it by its name
would make every class in it a second time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from awslambdaric import bootstrap  # type: ignore[import-untyped]
from awslambdaric.lambda_config import LambdaConfigProvider  # type: ignore[import-untyped]

from .runtime_client import StreamingRuntimeClient


def main(arguments: Sequence[str]) -> None:
    """Serve invocations until the environment ends. The Runtime API's address comes from AWS_LAMBDA_RUNTIME_API."""
    config = LambdaConfigProvider(arguments)
    if config.is_multi_concurrent:
        # Managed Instances fork a worker for each request at a time, with a client class of AWS's own. The seam is
        # `MultiConcurrentRunner.run_single` (awslambdaric 4.2.2), where nothing of ours stands yet.
        raise SystemExit("stream-runtime serves one request at a time: unset AWS_LAMBDA_MAX_CONCURRENCY")
    bootstrap.run(config.handler, StreamingRuntimeClient(config.api_address, config.use_thread_polling))


if __name__ == "__main__":
    main(sys.argv)
