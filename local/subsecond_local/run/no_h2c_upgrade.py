"""uvicorn where an HTTP upgrade is offered: by itself it loses such a request's body (`curl --http2`, Java)."""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from subsecond_local.lambda_host.wire import head_without_upgrade


class NoH2cUpgrade(HttpToolsProtocol):
    """For uvicorn's `--http`. There are no web sockets then."""

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while rest := self._fed(data):
                data = rest
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _fed(self, data: bytes) -> bytes:
        """What has to be read again, by another parser."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            head = head_without_upgrade(self.parser, self.url, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            return head + data[offer.args[0] :]
        return b""

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()
