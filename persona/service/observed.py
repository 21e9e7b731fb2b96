"""What every request passes through: the peer's bucket, then a count and a time, and a line in the log where wanted."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from persona.errors import TooOften
from persona.service import problems
from persona.service.metrics import Metrics
from persona.service.rates import Rates, peer_of

# At level INFO one line a request; `persona serve --log-requests` turns it on.
log = logging.getLogger("persona.service.requests")
log.setLevel(logging.WARNING)


class Observed:
    """Middleware. Under a path's label stands its pattern, so that strangers cannot make labels up."""

    def __init__(self, app: ASGIApp, paths: Sequence[str], rates: Rates, metrics: Metrics) -> None:
        """`paths` are the patterns of the routes."""
        self._app, self._rates, self._metrics = app, rates, metrics
        self._exact = {path for path in paths if "{" not in path}
        self._prefixes = {path.partition("{")[0]: path for path in paths if "{" in path}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # where an error goes on to the server

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._limited(scope, receive, noted)
        finally:
            path, seconds = self._pattern(scope["path"]), time.perf_counter() - started
            self._metrics.request(path, status, seconds)
            if log.isEnabledFor(logging.INFO):
                facts = {"method": scope["method"], "path": path, "status": status, "ms": round(1000 * seconds, 3)}
                log.info("%s %s %d", scope["method"], path, status, extra={"facts": facts})

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = peer_of(scope["client"][0] if scope.get("client") else None)
        try:
            if peer is not None:
                self._rates.spend(peer)
        except TooOften as error:
            await problems.response_to(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _pattern(self, path: str) -> str:
        if path in self._exact:
            return path
        return next((pattern for prefix, pattern in self._prefixes.items() if path.startswith(prefix)), "other")
