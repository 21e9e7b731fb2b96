"""One process that serves bundles: uvicorn, started and stopped in an orderly way."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from persona.errors import ServiceError
from persona.service.app import Service, create_app
from persona.service.connections import within
from persona.service.fleet import Fleet
from persona.service.limits import DEFAULT_LIMITS, Limits
from persona.service.tls import Certificate
from persona.trust import SigningKey

# Requests under way when the service is told to end have this long to be answered.
DRAIN_S = 15
# Connections that wait to be accepted.
_BACKLOG = 2048

log = logging.getLogger("persona.service")


@dataclass(frozen=True)
class Settings:
    """What an operator may set beside the address: limits, a certificate for TLS, and what knows the devices."""

    limits: Limits = DEFAULT_LIMITS
    certificate: Certificate | None = None
    fleet: Fleet | None = None


def serve(
    folders: Path | Sequence[Path],
    host: str = "127.0.0.1",
    port: int = 8765,
    ready: Callable[[int], None] | None = None,
    key: SigningKey | None = None,
    settings: Settings = Settings(),
) -> None:
    """Serve the bundle in a folder, or those of several, the newest first, until SIGTERM or SIGINT.

    What is under way then is answered. Port 0 takes a free one; `ready` is called with the port once requests are
    taken; `key` signs replies, and without one a warning is logged. With a certificate it speaks TLS, and reads the
    certificate again on SIGHUP. To be called in the main thread, which alone may catch signals. BundleError and
    TrustError: see `create_app`. ServiceError where the address or the certificate cannot be had.
    """
    app = create_app(folders, settings.limits, key, settings.fleet)
    certificate = settings.certificate
    context = None if certificate is None else certificate.context()
    if key is None:
        log.warning("replies are not signed: devices that check signatures will refuse them; give a reply key")
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_S,
        http=within(settings.limits),
        limit_concurrency=settings.limits.connections,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )
    renew = None if certificate is None or context is None else lambda: certificate.renew(context)
    with listen(host, port) as listener:
        _Server(config, app.state.service, ready, renew).run([listener])
    log.info("ended after %d replies", app.state.service.served)


class _Server(uvicorn.Server):
    """Says where it listens, and takes a signal for an order to end rather than for a failure."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        ready: Callable[[int], None] | None,
        renew: Callable[[], bool] | None,
    ) -> None:
        super().__init__(config)
        self._renew = renew
        self._service = service
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            names = ", ".join(one.bundle.fingerprint[:12] for one in self._service.shelf)
            scheme = "http" if self._renew is None else "https"
            log.info("serving bundle %s on %s://%s", names, scheme, where)
            if self._ready is not None:
                self._ready(port)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but without raising the signal again at the end: having drained is success."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        if self._renew is not None:
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        if self._renew is not None:
            self._renew()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.draining = True
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; ServiceError where the address cannot be had.

    It names its protocol, which `socket.create_server` leaves out: asyncio turns Nagle's algorithm off only for sockets
    that do, and with it on every reply to a kept-alive connection takes 40 ms.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, proto=socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ServiceError(f"{host} port {port} cannot be had ({error}); name another, or 0 for any") from error
    return listener
