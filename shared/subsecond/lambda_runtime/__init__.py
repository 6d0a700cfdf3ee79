"""Response streaming from a Python Lambda function, on AWS's own runtime client.

This folder imports nothing of the project and names its own parts relatively, so that it can be lifted into another
one: take it, take `stream-runtime`, set AWS_LAMBDA_EXEC_WRAPPER. When the managed runtime streams by itself,
`runtime_client` and `runtime` go; handlers keep returning their `HttpStream`.

    http_stream      what a handler returns, and its bytes on the wire
    runtime_client   posts it, chunk by chunk, to the Runtime API
    runtime          `python -m ...runtime HANDLER`: the process that the exec wrapper starts
    asgi             a handler for any ASGI app (`scope` and `asgi_cycle` are its parts)
"""
