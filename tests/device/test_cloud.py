"""The service over HTTP, met by real servers: what it says, what it breaks, how long it may take."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from persona.device import HttpCloud, fetch_bundle
from persona.errors import BundleError, CloudError, FingerprintMismatch, MessageTooLarge, PersonaError, WireError
from persona.trust import Unsigned
from persona.wire import CONTENT_TYPE, REPLY_LIMIT_BYTES, AdaptReply, AdaptRequest
from tests.device.servers import (
    Asked,
    Told,
    adapt_service,
    closed_port,
    http_service,
    raw_service,
    read_request,
    reply_of,
)
from tests.worlds import World

WORLD = World()
SHAPE = (1, 2)
REQUEST = AdaptRequest(WORLD.bundle.fingerprint, "sketch", np.ones(10, np.float32), 32)
REPLY = WORLD.answer(REQUEST).encode()
# Long enough for a loaded machine to answer, short enough to wait for in a test.
SHORT_S = 0.3


def ask(url: str, timeout_s: float = 10.0) -> AdaptReply:
    with HttpCloud(url, timeout_s, trust=Unsigned()) as cloud:
        return cloud.adapt(REQUEST, SHAPE)


def problem(status: int, title: str, detail: str) -> Told:
    body = json.dumps({"status": status, "title": title, "detail": detail}).encode()
    return Told(status, body, {"Content-Type": "application/problem+json"})


def test_a_request_arrives_as_encoded_and_the_reply_comes_back_as_sent() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> Told:
        seen.append(asked)
        return reply_of(REPLY)

    with http_service(answer) as url:
        reply = ask(url + "/")
    (asked,) = seen
    assert (asked.method, asked.path, asked.body) == ("POST", "/v1/adapt", REQUEST.encode())
    assert asked.headers["content-type"] == CONTENT_TYPE
    assert reply.encode() == REPLY


def test_a_path_before_the_endpoint_is_kept() -> None:
    def answer(asked: Asked) -> Told:
        return reply_of(REPLY) if asked.path == "/edge/persona/v1/adapt" else Told(404)

    with http_service(answer) as url:
        ask(f"{url}/edge/persona")


def test_one_connection_serves_many_requests() -> None:
    clients = set()

    def answer(asked: Asked) -> Told:
        clients.add(asked.client)
        return reply_of(REPLY)

    with http_service(answer) as url, HttpCloud(url, 10.0, trust=Unsigned()) as cloud:
        for _ in range(5):
            cloud.adapt(REQUEST, SHAPE)
    assert len(clients) == 1


def test_a_connection_that_the_service_closed_is_opened_again() -> None:
    def one_answer(connection: socket.socket, _over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(response(REPLY))

    with raw_service(one_answer) as url, HttpCloud(url, 10.0, trust=Unsigned()) as cloud:
        for _ in range(3):
            assert cloud.adapt(REQUEST, SHAPE).encode() == REPLY
            wait_until_closed(cloud)


def test_a_connection_that_is_closed_as_it_is_used_is_opened_once_more() -> None:
    asked = []

    def one_answer_then_none(connection: socket.socket, _over: threading.Event) -> None:
        asked.append(read_request(connection))
        connection.sendall(response(REPLY))
        if len(asked) == 1:  # the first connection: it takes a second request, and closes without an answer
            asked.append(read_request(connection))

    with raw_service(one_answer_then_none) as url, HttpCloud(url, 10.0, trust=Unsigned()) as cloud:
        for _ in range(2):
            assert cloud.adapt(REQUEST, SHAPE).encode() == REPLY
    assert len(asked) == 3


def test_a_new_connection_that_is_closed_at_once_is_not_tried_again() -> None:
    asked = []

    def no_answer(connection: socket.socket, _over: threading.Event) -> None:
        asked.append(read_request(connection))

    with raw_service(no_answer) as url, pytest.raises(CloudError, match="failed"):
        ask(url)
    assert len(asked) == 1


def wait_until_closed(cloud: HttpCloud) -> None:
    sock = cloud._link._connection.sock
    if sock is not None:
        sock.settimeout(10.0)
        assert sock.recv(1, socket.MSG_PEEK) == b""


def response(body: bytes, claimed: int | None = None) -> bytes:
    length = len(body) if claimed is None else claimed
    return f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\n\r\n".encode() + body


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(CloudError, match=r"POST http://127.0.0.1:\d+/v1/adapt failed.*refused"):
        ask(f"http://127.0.0.1:{closed_port()}")


def silent(connection: socket.socket, over: threading.Event) -> None:
    read_request(connection)
    over.wait()


def deaf(_connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips(before: bytes, drop: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Send something whole, then the same few bytes for ever, each sooner than any timeout of a socket."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(before)
        while not over.wait(0.01):
            connection.sendall(drop)

    return talk


SLOW = {
    "silent": silent,
    "deaf": deaf,
    "drips its status line": drips(b"HTTP/1.1 200 ", b"O"),
    "drips headers": drips(b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n"),
    "drips a body of known length": drips(response(b"", 60_000), b"x"),
    "drips a body without a length": drips(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "drips chunks": drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "continues for ever": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("talk", SLOW.values(), ids=SLOW.keys())
def test_the_deadline_holds_for_the_whole_request(talk: Callable[[socket.socket, threading.Event], None]) -> None:
    with raw_service(talk) as url:
        start = time.monotonic()
        with pytest.raises(CloudError, match=r"not answered within 0.3 s|headers"):
            ask(url, SHORT_S)
        assert time.monotonic() - start < 10 * SHORT_S


def test_after_a_deadline_the_next_request_gets_its_own_answer() -> None:
    released = threading.Event()

    def answer(_asked: Asked) -> Told:
        first = not released.is_set()
        released.set()
        return Told(200, b"late") if first and over.wait(60) else reply_of(REPLY)

    over = threading.Event()
    with http_service(answer) as url, HttpCloud(url, SHORT_S, trust=Unsigned()) as cloud:
        with pytest.raises(CloudError, match="within"):
            cloud.adapt(REQUEST, SHAPE)
        over.set()
        assert cloud.adapt(REQUEST, SHAPE).encode() == REPLY


BREAKS = {
    "before anything": b"",
    "in the status line": b"HTTP/1.1 20",
    "in the headers": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "in the body": response(REPLY[:7], len(REPLY)),
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n18\r\nPR",
    "not HTTP": b"\x00\x01\x02\x03 hello \r\n\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "chunks of nonsense": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("sends", BREAKS.values(), ids=BREAKS.keys())
def test_a_service_that_breaks_off_or_speaks_something_else(sends: bytes) -> None:
    def talk(connection: socket.socket, _over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(sends)

    with raw_service(talk) as url, pytest.raises(CloudError, match="POST http"):
        ask(url)


def test_a_connection_that_is_reset() -> None:
    def talk(connection: socket.socket, _over: threading.Event) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with raw_service(talk) as url, pytest.raises(CloudError, match="POST http"):
        ask(url)


@pytest.mark.parametrize(
    ("told", "error", "says"),
    [
        (
            problem(400, "Malformed request", "it ends\nearly"),
            CloudError,
            "answered 400: Malformed request: it ends early$",
        ),
        (
            problem(409, "Another bundle", "it is for 1234"),
            FingerprintMismatch,
            "409, fetch the bundle that it offers: Another bundle: it is for 1234$",
        ),
        (problem(413, "Too large", "9 MB"), CloudError, "413: Too large: 9 MB"),
        (problem(415, "Unknown type", "x"), CloudError, "415"),
        (problem(503, "Busy", "ask again"), CloudError, "503: Busy: ask again"),
        (problem(500, "x" * 5000, "y"), CloudError, "500: x{300}$"),
        (Told(500, b"<html>", {"Content-Type": "text/html"}), CloudError, "500: 6 bytes of text/html"),
        (Told(502, b""), CloudError, "502: 0 bytes of no content type"),
        (Told(302, b"", {"Location": "http://127.0.0.1/"}), CloudError, "302"),
        (Told(204, b""), CloudError, "204"),
        (Told(200, REPLY, {"Content-Type": "text/html"}), CloudError, "text/html; wanted application/vnd.persona.v1"),
        (Told(200, REPLY), CloudError, "no content type; wanted"),
        (reply_of(b"x" * (REPLY_LIMIT_BYTES + 1)), CloudError, "more than 65,536 bytes"),
        (reply_of(b""), WireError, "too short"),
        (reply_of(b"x" * 100), WireError, "not a reply"),
        (reply_of(REPLY + b"x"), WireError, "takes"),
    ],
)
def test_answers_that_are_no_edit(told: Told, error: type[PersonaError], says: str) -> None:
    with http_service(lambda _: told) as url, pytest.raises(error, match=says) as caught:
        ask(url)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"[" * 60_000, b'{"title": 3}', b"\xff\xfe", b'{"title": "", "detail": null}']
)
def test_a_problem_document_that_is_none(body: bytes) -> None:
    told = Told(500, body, {"Content-Type": "application/problem+json"})
    with http_service(lambda _: told) as url, pytest.raises(CloudError, match=r"answered 500: .*problem document"):
        ask(url)


def test_a_reply_compressed_though_nobody_asked_is_not_unpacked() -> None:
    told = Told(200, b"\x1f\x8b" + bytes(60), {"Content-Type": CONTENT_TYPE, "Content-Encoding": "gzip"})
    with http_service(lambda _: told) as url, pytest.raises(WireError, match="not a reply"):
        ask(url)


def test_a_request_that_is_too_large_is_not_sent() -> None:
    large = AdaptRequest(REQUEST.fingerprint, "samples", np.zeros((33, 1 << 16), np.float32), 33)
    with (
        http_service(lambda _: Told(500)) as url,
        HttpCloud(url, trust=Unsigned()) as cloud,
        pytest.raises(MessageTooLarge),
    ):
        cloud.adapt(large, SHAPE)


@pytest.mark.parametrize("url", ["", "localhost", "ftp://localhost", "http://", "http://[::1", "//host"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(CloudError, match="not the URL of a service; wanted http"):
        HttpCloud(url, trust=Unsigned())


def test_a_bundle_is_fetched_whole_and_only_when_it_is_new() -> None:
    bundle = WORLD.bundle
    data = bundle.to_bytes()
    etag = f'"{bundle.fingerprint}"'

    def answer(asked: Asked) -> Told:
        assert (asked.method, asked.path) == ("GET", "/v1/bundle")
        if asked.headers.get("if-none-match") == etag:
            return Told(304, b"", {"ETag": etag})
        return Told(200, data, {"ETag": etag, "Content-Type": "application/octet-stream"})

    with http_service(answer) as url:
        found = fetch_bundle(url, trust=Unsigned())
        assert found is not None
        assert found.fingerprint == bundle.fingerprint
        assert fetch_bundle(url, "0" * 64, trust=Unsigned()) is not None
        assert fetch_bundle(url, found.fingerprint, trust=Unsigned()) is None


def test_a_bundle_that_is_none_is_refused() -> None:
    data = WORLD.bundle.to_bytes()
    for body in (b"", data[:-1], data[:1000], b"x" * 1000):
        with http_service(lambda _, body=body: Told(200, body)) as url, pytest.raises(BundleError):
            fetch_bundle(url, trust=Unsigned())


def test_a_bundle_is_not_waited_for_longer_than_said() -> None:
    with (
        raw_service(drips(response(b"", 1 << 30), b"x" * 100)) as url,
        pytest.raises(CloudError, match=r"within 0\.3 s"),
    ):
        fetch_bundle(url, timeout_s=SHORT_S, trust=Unsigned())


@pytest.mark.parametrize("status", [304, 404, 503])
def test_a_service_without_a_bundle(status: int) -> None:
    with http_service(lambda _: Told(status)) as url, pytest.raises(CloudError, match=f"bundle answered {status}"):
        fetch_bundle(url, trust=Unsigned())


def test_many_threads_share_one_connection_in_turns() -> None:
    replies = []
    with adapt_service(WORLD.answer) as url, HttpCloud(url, 30.0, trust=Unsigned()) as cloud:
        threads = [
            threading.Thread(target=lambda: replies.append(cloud.adapt(REQUEST, SHAPE).encode())) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert replies == [REPLY] * 8
