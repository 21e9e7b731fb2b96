"""The device's view of the service: one Protocol, and one implementation over HTTP."""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from persona.bundle import Bundle
from persona.container import SIZE_LIMIT_BYTES
from persona.device.identity import Identity
from persona.errors import BundleError, CloudError, FingerprintMismatch, TrustError
from persona.files import write_whole
from persona.item_vectors import ITEMS_FILE, read_items
from persona.trust import SIGNED_CONTENT_TYPE, PublicKey, Trust, Unsigned, open_reply, seal_request
from persona.trust.exchange import NONCE_BYTES
from persona.wire import CONTENT_TYPE, REPLY_LIMIT_BYTES, AdaptReply, AdaptRequest

_CHUNK_BYTES = 64 << 10
# What a service says about an error is cut to this many characters before it goes into a message.
_SAID_LIMIT = 300
Clock = Callable[[], float]


class Cloud(Protocol):
    """Whoever turns recent data into an edit."""

    def adapt(self, request: AdaptRequest, code_shape: tuple[int, int]) -> AdaptReply:
        """Return the answer to a request, for a bundle with codes of shape (n, d); PersonaError where there is none."""


class HttpCloud:
    """The service at a URL, over one connection that is kept open between requests.

    With a `Trust` every reply must be signed for the very request that was sent; its keys are fetched when they are
    missing or have expired, and after a reply that none of them signed.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float = 2.0,
        clock: Clock = time.monotonic,
        *,
        trust: Trust | Unsigned,
        dice: Callable[[int], bytes] = os.urandom,
        identity: Identity | None = None,
    ) -> None:
        """CloudError where the URL is none.

        `timeout_s` bounds a whole request, from connecting to the last byte; each file of metadata is a request.
        `identity` signs what goes to ``/v1/adapt``, for a service that answers enrolled devices.
        """
        self._link = _Link(url, timeout_s, clock)
        self._trust = trust
        self._dice = dice
        self._identity = identity
        self._in_doubt = False  # whether to fetch the keys anew before the next request

    def adapt(self, request: AdaptRequest, code_shape: tuple[int, int]) -> AdaptReply:
        """Return the service's answer.

        CloudError where it is absent, slow, breaks off or reports an error; FingerprintMismatch where it has another
        bundle; WireError where the request cannot be said or the answer is not a reply; TrustError where the answer is
        not signed by a key that counts.
        """
        if isinstance(self._trust, Unsigned):
            return AdaptReply.decode(self._post(request.encode(), CONTENT_TYPE), code_shape)
        keys = self._reply_keys(self._trust, request.fingerprint)
        sent = seal_request(request, self._dice(NONCE_BYTES))
        try:
            return open_reply(self._post(sent, SIGNED_CONTENT_TYPE), sent, request.fingerprint, keys, code_shape)
        except TrustError:
            self._in_doubt = True
            raise

    def _post(self, body: bytes, content_type: str) -> bytes:
        headers = {"Content-Type": content_type, "Accept": content_type}
        if self._identity is not None:
            headers |= self._identity.headers("POST", "/v1/adapt", body)
        answer = self._link.ask("POST", "/v1/adapt", body, headers, REPLY_LIMIT_BYTES)
        if answer.status != 200:
            raise answer.error()
        if answer.content_type != content_type:
            raise CloudError(
                f"{answer.what} answered with {answer.content_type or 'no content type'}; wanted {content_type}: "
                "is it a persona service?"
            )
        return answer.body

    def _reply_keys(self, trust: Trust, fingerprint: str) -> tuple[PublicKey, ...]:
        keys = trust.reply_keys(fingerprint)
        if self._in_doubt or not keys:
            trust.refresh(self._link.metadata)
            self._in_doubt = False
            keys = trust.reply_keys(fingerprint)
        release = trust.release()
        if release.fingerprint != fingerprint:
            raise FingerprintMismatch(
                f"release {release.version} is of bundle {release.fingerprint[:12]}, this device has "
                f"{fingerprint[:12]}; fetch the bundle that the service offers"
            )
        if not keys:
            raise TrustError(f"release {release.version} names no key that may sign replies now; wait for a newer one")
        return keys

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def __enter__(self) -> HttpCloud:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def enrol(url: str, token: str, identity: Identity, timeout_s: float = 10.0, clock: Clock = time.monotonic) -> None:
    """Enrol a device with a service, by a token of its operator's. Asked again, by the same token, it stays enrolled.

    CloudError where the service does not enrol it in time.
    """
    body = json.dumps({"token": token, "public": identity.key.public.value.hex()}).encode()
    headers = {"Content-Type": "application/json", **identity.headers("POST", "/v1/devices", body)}
    link = _Link(url, timeout_s, clock)
    try:
        answer = link.ask("POST", "/v1/devices", body, headers, REPLY_LIMIT_BYTES)
    finally:
        link.close()
    if answer.status != 200:
        raise answer.error()


def fetch_bundle(
    url: str,
    etag: str | None = None,
    timeout_s: float = 60.0,
    clock: Clock = time.monotonic,
    *,
    trust: Trust | Unsigned,
) -> Bundle | None:
    """Return the bundle that a service offers, or None where it is the one in hand.

    `etag` is the fingerprint of the bundle in hand; `timeout_s` bounds a transfer, each file of metadata being one.
    With a `Trust`, it is the bundle of the newest signed release, which the trust then knows. CloudError where the
    service gives none in time; TrustError where what it gives is not signed; BundleError where it is not a bundle.
    """
    link = _Link(url, timeout_s, clock)
    try:
        return _any_bundle(link, etag) if isinstance(trust, Unsigned) else _signed_bundle(link, etag, trust)
    finally:
        link.close()


def fetch_items(url: str, bundle: Bundle, path: Path, timeout_s: float = 600.0, clock: Clock = time.monotonic) -> None:
    """Fetch the item vectors that a ranking bundle names, and write them to a file, or to the one in a folder, once
    they are known to be those.

    No key is needed: the bundle names them by fingerprint, and whoever trusts the bundle trusts them. Where the file is
    there already, nothing is sent. CloudError where the service gives none in time; BundleError where they are others
    or damaged, or the bundle names none; ExportError where they cannot be written.
    """
    if bundle.ranking is None:
        raise BundleError("this bundle ranks no items, so there are none to fetch")
    path = path / ITEMS_FILE if path.is_dir() else path
    if path.exists():
        with suppress(BundleError):
            read_items(path, bundle.ranking.fingerprint)
            return
    link, part = _Link(url, timeout_s, clock), path.with_name(f".{path.name}.part")
    try:
        answer = link.ask("GET", f"/v1/items/{bundle.ranking.fingerprint}", None, {}, bundle.ranking.most_bytes)
    finally:
        link.close()
    if answer.status != 200:
        raise answer.error()
    write_whole(part, answer.body)
    try:
        read_items(part, bundle.ranking.fingerprint)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _signed_bundle(link: _Link, etag: str | None, trust: Trust) -> Bundle | None:
    trust.refresh(link.metadata)
    release = trust.release()
    if release.fingerprint == etag:
        return None
    answer = link.ask("GET", f"/v1/bundles/{release.fingerprint}", None, {}, release.length)
    if answer.status != 200:
        raise answer.error()
    return trust.bundle(answer.body)


def _any_bundle(link: _Link, etag: str | None) -> Bundle | None:
    headers = {} if etag is None else {"If-None-Match": f'"{etag}"'}
    answer = link.ask("GET", "/v1/bundle", None, headers, SIZE_LIMIT_BYTES)
    if answer.status == 304 and etag is not None:
        return None
    if answer.status != 200:
        raise answer.error()
    return Bundle.from_bytes(answer.body)


@dataclass(frozen=True)
class _Answer:
    """An HTTP answer; `what` names the request for messages."""

    what: str
    status: int
    content_type: str
    body: bytes

    def error(self) -> CloudError | FingerprintMismatch:
        """Return what an answer other than 200 means."""
        if self.status == 409:
            return FingerprintMismatch(f"{self.what} answered 409, fetch the bundle that it offers: {self._said()}")
        return CloudError(f"{self.what} answered {self.status}: {self._said()}")

    def _said(self) -> str:
        """Return title and detail of a problem document (RFC 9457), as one line."""
        if self.content_type != "application/problem+json":
            return f"{len(self.body)} bytes of {self.content_type or 'no content type'}"
        try:
            problem = json.loads(self.body)
        except (ValueError, RecursionError):
            return "a problem document that is not JSON"
        if not isinstance(problem, dict):
            return "a problem document that is not an object"
        parts = [problem[key] for key in ("title", "detail") if isinstance(problem.get(key), str)]
        line = " ".join(": ".join(parts).split())
        return line[:_SAID_LIMIT] or "a problem document without title and detail"


class _Link:
    """One connection to one service, one request at a time, each under a deadline of its own."""

    def __init__(self, url: str, timeout_s: float, clock: Clock) -> None:
        self._url = url.rstrip("/")
        self._path, self._connection = _connection(self._url, timeout_s)
        self._timeout_s = timeout_s
        self._clock = clock
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], limit_bytes: int) -> _Answer:
        """Return the answer to one request; CloudError where there is none, none in time, or one beyond the limit."""
        what = f"{method} {self._url}{path}"
        with self._lock:
            deadline = self._clock() + self._timeout_s
            try:
                send = partial(self._connection.request, method, self._path + path, body, headers)
                receive = partial(self._answer, what, limit_bytes)
                return self._exchange(send, receive, deadline)
            except TimeoutError as error:
                self._connection.close()
                raise CloudError(f"{what} was not answered within {self._timeout_s:g} s") from error
            except (CloudError, HTTPException, OSError) as error:
                self._connection.close()
                raise error if isinstance(error, CloudError) else CloudError(f"{what} failed: {error}") from error

    def metadata(self, name: str, limit_bytes: int) -> bytes | None:
        """Return a file of signed metadata, None where the service has none of that name; CloudError as `ask`."""
        answer = self.ask("GET", f"/v1/trust/{name}", None, {}, limit_bytes)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise answer.error()
        return answer.body

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    def _exchange(self, send: Callable[[], None], receive: Callable[[], _Answer], deadline: float) -> _Answer:
        """Send and receive; once more where a connection that was kept turns out to be closed.

        A service may close it at the very moment of use. Every request here is safe to repeat: each asks for something,
        and changes nothing that a device relies on. A signed one goes with its first nonce, so that it counts once: had
        the service recorded it before the connection broke, it refuses the repetition.
        """
        was_kept = self._drop_closed()
        try:
            with _cut_off(self._connected(deadline), deadline - self._clock()):
                send()
                return receive()
        except ConnectionError:
            if not was_kept:
                raise
        self._connection.close()
        with _cut_off(self._connected(deadline), deadline - self._clock()):
            send()
            return receive()

    def _drop_closed(self) -> bool:
        """Close a kept connection that the service has closed meanwhile; return whether one is left."""
        sock: socket.socket | None = self._connection.sock
        if sock is not None and _has_news(sock):
            self._connection.close()
        return self._connection.sock is not None

    def _connected(self, deadline: float) -> socket.socket:
        """Return the socket in hand, or a new one; TimeoutError where the deadline passes first."""
        sock: socket.socket | None = self._connection.sock
        if sock is not None:
            return sock
        left_s = deadline - self._clock()
        if left_s <= 0:
            raise TimeoutError("the deadline passed")
        self._connection.timeout = left_s
        self._connection.connect()
        opened: socket.socket = self._connection.sock
        opened.settimeout(self._timeout_s)
        return opened

    def _answer(self, what: str, limit_bytes: int) -> _Answer:
        return _answer(what, self._connection.getresponse(), limit_bytes)


def _has_news(sock: socket.socket) -> bool:
    """Return whether an idle connection can be read: it was closed, or says what nobody asked for."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(0))


def _connection(url: str, timeout_s: float) -> tuple[str, HTTPConnection]:
    """Return the path before /v1 and an unopened connection."""
    wanted = f"{url!r} is not the URL of a service; wanted http://host:port or https://host:port"
    kinds = {"http": (HTTPConnection, 80), "https": (HTTPSConnection, 443)}
    try:
        parsed = urlsplit(url)
        host, port = parsed.hostname, parsed.port
    except ValueError as error:
        raise CloudError(wanted) from error
    if parsed.scheme not in kinds or not host or not host.isascii():
        raise CloudError(wanted)
    kind, usual = kinds[parsed.scheme]
    path = quote(parsed.path, safe="/%~:@!$&'()*+,;=")
    try:
        return path, kind(host, usual if port is None else port, timeout=timeout_s)  # verifies certificates
    except HTTPException as error:  # a host with spaces or control characters
        raise CloudError(wanted) from error


@contextmanager
def _cut_off(sock: socket.socket, after_s: float) -> Iterator[None]:
    """Shut a socket down after a time, and raise TimeoutError then.

    A socket's own timeout begins anew with every byte, so that a service which drips them could hold a device for ever.
    """
    cut = threading.Event()

    def shut_down() -> None:
        cut.set()
        with suppress(OSError):  # closed already
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which would want an answer

    timer = threading.Timer(max(after_s, 0.0), shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (HTTPException, OSError) as error:
        if cut.is_set():
            raise TimeoutError("the deadline passed") from error
        raise
    finally:
        timer.cancel()
    if cut.is_set():  # an answer without a length looks whole when it is cut
        raise TimeoutError("the deadline passed")


def _answer(what: str, response: HTTPResponse, limit_bytes: int) -> _Answer:
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := response.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit_bytes:
                raise CloudError(f"{what} answered {response.status} with more than {limit_bytes:,} bytes")
            chunks.append(chunk)
        if response.length:  # the standard library says nothing of a body that ends early
            raise IncompleteRead(b"", response.length)
    finally:
        response.close()
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return _Answer(what, response.status, content_type, b"".join(chunks))
