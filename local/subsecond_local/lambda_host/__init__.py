"""AWS Lambda on loopback: the real runtime client runs the real handlers, and chunks pass as they come.

    function      what is deployed (`Function`) and which paths lead to it (`UrlRoute`)
    host          `LambdaHost`: start, stop, invoke
    front         the listener: Function URLs of all functions behind one base URL, and the Invoke API
    permission    who may use that API
    url_event     HTTP request -> event, result -> HTTP response (pure)
    pool          a function's environments: cold starts, queue, reaping
    environment   one process and its Runtime API
    core_share    the part of a core that it may use
    runtime_api   that API's endpoints
    invocation    one event on its way, and where its response goes
    wire          HTTP/1.1 on asyncio and httptools

What differs from AWS: no limit on memory, a limit on CPU only where a function has a `core_share`, no bandwidth limit
past the first 6 MB of a stream, no extensions.
"""

from subsecond_local.lambda_host.function import Function, UrlRoute
from subsecond_local.lambda_host.host import LambdaHost

__all__ = ["Function", "LambdaHost", "UrlRoute"]
