"""A connection's patience: slow headers, bodies that nobody waits for, and clients that do not read their response."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from persona.service.limits import Limits

# How long beyond `body_s` a body may come that no endpoint reads: the endpoint that does answers 408 before.
_GRACE_S = 2.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, which has no limit on the time and length of headers, nor on reading a response."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, and not for ever."""
        super().connection_made(transport)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._in_headers = True
        self._header_bytes = 0
        self._give_to_read(self.limits.header_s)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers are too long."""
        self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > self.limits.header_bytes and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Headers begin."""
        self._in_headers = True
        self._give_to_read(self.limits.header_s)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Headers are done, a body may follow."""
        self._in_headers = False
        self._header_bytes = 0
        self._give_to_read(self.limits.body_s + _GRACE_S)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self._header_bytes = 0
        self._stop(self._reading)
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client reads more slowly than it is sent."""
        self._stop(self._writing)
        self._writing = self.loop.call_later(self.limits.response_s, self._end)
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._stop(self._writing)
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop(self._reading)
        self._stop(self._writing)
        super().connection_lost(exc)

    def _give_to_read(self, seconds: float) -> None:
        self._stop(self._reading)
        self._reading = self.loop.call_later(seconds, self._end)

    def _end(self) -> None:
        self.transport.abort()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def within(limits: Limits) -> type[Any]:
    """Return the protocol class that keeps these limits."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
