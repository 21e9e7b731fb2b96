"""A real process with a real port: it answers, ends in order, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import urllib3

from persona.bundle import Bundle
from persona.errors import BundleError, ServiceError
from persona.service.server import listen, serve
from persona.wire import AdaptReply
from tests.service.asking import HEADERS, features, sketch_request

_PROGRAM = """
import logging, sys
from pathlib import Path
from persona.service import serve

logging.basicConfig(level=logging.INFO, format="%(message)s")
serve(Path(sys.argv[1]), port=int(sys.argv[2]), ready=lambda port: print(port, flush=True))
print("ended")
"""


@contextmanager
def server(folder: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _PROGRAM, str(folder), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield process, int(line)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def running(sketch_folder: Path) -> Iterator[int]:
    with server(sketch_folder) as (_process, port):
        yield port


@pytest.fixture(scope="module")
def pool(running: int) -> Iterator[urllib3.HTTPConnectionPool]:
    with urllib3.HTTPConnectionPool("127.0.0.1", running, timeout=30, retries=False) as pool:
        yield pool


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def post(length: int, close: bool = True) -> bytes:
    return (
        f"POST /v1/adapt HTTP/1.1\r\nHost: here\r\nContent-Type: {HEADERS['content-type']}\r\n"
        f"Content-Length: {length}\r\n{'Connection: close' if close else 'X: y'}\r\n\r\n"
    ).encode()


def test_a_device_gets_its_reply(pool: urllib3.HTTPConnectionPool, bundle: Bundle) -> None:
    body = sketch_request(bundle, features(1, -1, -0.5, 1))
    answer = pool.request("POST", "/v1/adapt", body=body, headers=HEADERS)
    assert answer.status == 200
    reply = AdaptReply.decode(answer.data, bundle.decoder.code_shape)
    assert reply.prototype == 0
    np.testing.assert_array_equal(reply.residual, [[0, 0], [0.5, 0]])


def test_a_connection_serves_many_requests(pool: urllib3.HTTPConnectionPool, bundle: Bundle) -> None:
    before = pool.num_connections
    for k in range(50):
        body = sketch_request(bundle, features(k / 8)) if k % 2 else b"rubbish"
        assert pool.request("POST", "/v1/adapt", body=body, headers=HEADERS).status == (200 if k % 2 else 400)
    assert pool.num_connections <= max(before, 1)


def test_head_says_what_get_would_send(pool: urllib3.HTTPConnectionPool, bundle: Bundle) -> None:
    for path in ("/v1/bundle", f"/v1/bundles/{bundle.fingerprint}"):
        head, got = pool.request("HEAD", path), pool.request("GET", path)
        assert (head.status, head.data) == (200, b"")
        assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.data))
        assert head.headers["ETag"] == got.headers["ETag"] == f'"{bundle.fingerprint}"'


def test_a_body_announced_too_long_ends_the_connection(running: int) -> None:
    with connect(running) as connection:
        connection.sendall(post(9 << 20, close=False))
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_slow_clients_hold_nobody_up(running: int, pool: urllib3.HTTPConnectionPool, bundle: Bundle) -> None:
    body = sketch_request(bundle, features(1))
    slow = [connect(running) for _ in range(40)]
    for connection in slow:
        connection.sendall(post(len(body)) + body[:20])
    assert pool.request("POST", "/v1/adapt", body=body, headers=HEADERS).status == 200
    for connection in slow:
        connection.sendall(body[20:])
        assert until_closed(connection).startswith(b"HTTP/1.1 200 ")
        connection.close()


def test_sigterm_answers_what_is_under_way_and_ends_well(sketch_folder: Path, bundle: Bundle) -> None:
    body = sketch_request(bundle, features(1, 1))
    with server(sketch_folder) as (process, port), connect(port) as under_way, connect(port) as idle:
        under_way.sendall(post(len(body)) + body[:20])
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
        assert idle.recv(9) == b"HTTP/1.1 "
        process.terminate()
        assert b'"status": "ok"' in until_closed(idle)  # closed by the service, which has heard the signal
        with pytest.raises(ConnectionError):
            connect(port).recv(1)
        under_way.sendall(body[20:])
        answer = until_closed(under_way)
        output, errors = process.communicate(timeout=30)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert AdaptReply.decode(answer.partition(b"\r\n\r\n")[2], bundle.decoder.code_shape).prototype == 0
    assert (process.returncode, output) == (0, "ended\n")
    assert f"serving bundle {bundle.fingerprint[:12]} on http://127.0.0.1:{port}" in errors
    assert "ended after 1 replies" in errors
    assert "Traceback" not in errors


def test_sigint_ends_well_too(sketch_folder: Path) -> None:
    with server(sketch_folder) as (process, _port):
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "ended\n")
    assert "Traceback" not in errors


def test_a_killed_service_leaves_its_port_free(sketch_folder: Path, bundle: Bundle) -> None:
    with server(sketch_folder) as (process, port), connect(port) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
        assert connection.recv(9) == b"HTTP/1.1 "
        process.kill()
        process.wait()
    with server(sketch_folder, port) as (_process, again):
        assert again == port
        assert urllib3.request("GET", f"http://127.0.0.1:{port}/v1/bundle").headers["ETag"] == f'"{bundle.fingerprint}"'


def test_a_port_in_use_is_said_before_anything_is_served(sketch_folder: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=f"127.0.0.1 port {port} cannot be had .*in use.*name another"):
            serve(sketch_folder, port=port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("not a host", 0), ("203.0.113.1", 0)])
def test_an_address_that_cannot_be_had_is_said(host: str, port: int) -> None:
    with pytest.raises(ServiceError, match=f"{host} port {port} cannot be had"):
        listen(host, port)


def test_replies_are_not_held_back_by_nagles_algorithm() -> None:
    """asyncio turns it off only where the socket names its protocol; with it on, a reply takes 40 ms."""
    with listen("127.0.0.1", 0) as listener, connect(listener.getsockname()[1]):
        accepted, _address = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_a_folder_without_a_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="`persona export` writes one"):
        serve(tmp_path, port=0)


def test_the_service_reaches_neither_torch_nor_the_device() -> None:
    program = (
        "import sys, persona.service; print(sorted({'torch', 'persona.device', 'persona.tasks'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
