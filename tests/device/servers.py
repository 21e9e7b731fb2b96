"""Real servers on 127.0.0.1 for the device to meet: HTTP that answers as told, and sockets that behave badly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from persona.wire import CONTENT_TYPE, AdaptReply, AdaptRequest


@dataclass(frozen=True)
class Asked:
    """A request as a server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]


@dataclass(frozen=True)
class Told:
    """What a server is to answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def http_service(answer: Callable[[Asked], Told], port: int = 0) -> Iterator[str]:
    """Serve HTTP/1.1 with keep-alive; yield the URL."""

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = answer(Asked(self.command, self.path, headers, self.rfile.read(length), self.client_address))
            self.send_response(told.status)
            for name, value in {"Content-Length": str(len(told.body)), **told.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)

        do_GET = do_POST  # noqa: N815 - the name that http.server looks for

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def adapt_service(adapter: Callable[[AdaptRequest], AdaptReply], port: int = 0) -> Iterator[str]:
    """Serve the answers of an adapter as the service does; yield the URL."""

    def answer(asked: Asked) -> Told:
        return reply_of(adapter(AdaptRequest.decode(asked.body)).encode())

    with http_service(answer, port) as url:
        yield url


def reply_of(body: bytes) -> Told:
    """Return an answer that claims to be a reply."""
    return Told(200, body, {"Content-Type": CONTENT_TYPE})


@contextmanager
def raw_service(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Let `talk` do what it likes with every connection, until the event is set at the end; yield the URL."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            talk(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join()
        listener.close()
        for thread in threads:
            thread.join()


def closed_port() -> int:
    """Return a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def read_request(connection: socket.socket) -> bytes:
    """Read one request with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
