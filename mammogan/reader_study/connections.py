"""Limits of connections to the server, so that slow, endless or very many requests do not stop the readers.

uvicorn limits neither the length of a head (with httptools) nor the time in which it must arrive, and stops accepting
connections when the process has no file descriptor left.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ARRIVAL = 10.0  # seconds in which the head of a request must arrive
ANSWER = 300.0  # seconds in which an answer must be taken: a picture through a very slow network
LENGTH = 2**16  # bytes of a request, head and body
DESCRIPTORS = 8192  # files and connections that the process asks for; a half of them for connections


def raise_limit() -> int:
    """Ask for more file descriptors; return the number of connections that they allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted // 2


class LimitedConnection(HttpToolsProtocol):
    """A connection that ends if a request or its answer takes too long, or if the request is too long.

    If there are too many connections, the oldest one that waits for a request ends; a browser opens it again.
    """

    most = 0  # connections; see `raise_limit`
    _open: dict[LimitedConnection, None] = {}  # noqa: RUF012, all of the process, oldest first
    _deadline: asyncio.TimerHandle | None = None
    _length = 0

    def _within(self, seconds: float) -> None:
        """Set the time after which the connection ends."""
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def connection_made(self, transport: Any) -> None:  # that of asyncio or of uvloop
        super().connection_made(transport)
        self._open[self] = None
        if len(self._open) > self.most:
            waiting = (each for each in self._open if each.cycle is None or each.cycle.response_complete)
            oldest = next(waiting)  # there is one: this connection waits
            del self._open[oldest]
            oldest.transport.abort()
        self._within(ARRIVAL)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.pop(self, None)
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._length += len(data)
        if self._length > LENGTH:
            self.transport.abort()
        else:
            super().data_received(data)

    def on_message_begin(self) -> None:
        if self.cycle is not None:  # the first request has the time since the connection was made
            self._within(ARRIVAL)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._within(ANSWER)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._length = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._within(ANSWER if self.pipeline else self.timeout_keep_alive)
