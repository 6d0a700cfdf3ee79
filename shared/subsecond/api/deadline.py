"""The function's own time limit, told to the app where the adapter does not tell it."""

from __future__ import annotations

from time import monotonic

from subsecond.aws_lambda.asgi_types import App, Message, Receive, Send

# Seconds kept for the error's way back, and for the records.
MARGIN = 0.5


class WithDeadline:
    """The app with `scope["aws.deadline"]` (monotonic seconds), as the streaming adapter tells it.

    Mangum tells Lambda's context alone, and a function that runs into its limit leaves the client with AWS's bare 502.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        context = scope["aws.context"]
        scope["aws.deadline"] = monotonic() + context.get_remaining_time_in_millis() / 1000 - MARGIN
        await self._app(scope, receive, send)
