"""A real process with short patience and a certificate: slow clients are cut off, a handshake holds, SIGHUP renews."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from persona.errors import ServiceError
from persona.service.tls import Certificate

_PROGRAM = """
import logging, sys
from pathlib import Path
from persona.service import serve
from persona.service.limits import Limits
from persona.service.server import Settings
from persona.service.tls import Certificate

logging.basicConfig(level=logging.INFO, format="%(message)s")
folder, *pair = map(Path, sys.argv[1:])
limits = Limits(header_s=0.5, body_s=0.5, header_bytes=4096)
settings = Settings(limits, Certificate(*pair) if pair else None)
serve(folder, port=0, ready=lambda port: print(port, flush=True), settings=settings)
"""


def started(*arguments: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    return process, int(line)


@pytest.fixture(scope="module")
def impatient(sketch_folder: Path) -> Iterator[int]:
    process, port = started(sketch_folder)
    try:
        yield port
    finally:
        process.kill()
        process.communicate()


def received_before_the_end(port: int, sent: bytes, drip: bytes = b"") -> bytes:
    """Send bytes, then one more again and again, and return what came until the service cut the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as connection:
        connection.sendall(sent)
        received = b""
        for _ in range(300):
            try:
                chunk = connection.recv(65536)
                if not chunk:
                    return received
                received += chunk
            except TimeoutError:
                connection.sendall(drip)
            except ConnectionError:
                return received
    raise AssertionError("the connection was not cut")


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: here\r\nX: "], ids=["silent", "slow headers"])
def test_who_does_not_get_to_the_end_of_the_headers_is_cut_off(impatient: int, sent: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        assert received_before_the_end(impatient, sent, sent[-1:]) == b""


def test_headers_that_are_too_long_are_refused(impatient: int) -> None:
    answer = received_before_the_end(impatient, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 9000)
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_slow_body_is_answered_and_cut_off(impatient: int) -> None:
    kind = b"Content-Type: application/vnd.persona.v1\r\n"
    head = b"POST /v1/adapt HTTP/1.1\r\nHost: here\r\n" + kind + b"Content-Length: 99\r\n\r\n"
    assert received_before_the_end(impatient, head, b"x").startswith(b"HTTP/1.1 408 ")


def pair(folder: Path, name: str) -> Certificate:
    """Write a certificate that signs itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("here")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    (folder / "chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return Certificate(folder / "chain.pem", folder / "key.pem")


def shaken(port: int, trusted: Path) -> bytes:
    """Return the answer to a request after a handshake in which only the trusted certificate counts."""
    context = ssl.create_default_context(cafile=str(trusted))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="here") as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        return connection.recv(12)


def test_tls_shakes_hands_and_a_new_certificate_counts_after_sighup(sketch_folder: Path, tmp_path: Path) -> None:
    certificate = pair(tmp_path, "first")
    first = tmp_path / "first.pem"
    first.write_bytes(certificate.chain.read_bytes())
    process, port = started(sketch_folder, certificate.chain, certificate.private_key)
    try:
        assert shaken(port, first) == b"HTTP/1.1 200"
        certificate.chain.write_text("no certificate")
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        assert any("stays as it was" in line for line in iter(process.stderr.readline, "") if "certificate" in line)
        assert shaken(port, first) == b"HTTP/1.1 200"
        pair(tmp_path, "second")
        process.send_signal(signal.SIGHUP)
        assert "was read again" in process.stderr.readline()
        assert shaken(port, certificate.chain) == b"HTTP/1.1 200"
        with pytest.raises(ssl.SSLError):
            shaken(port, first)
    finally:
        process.kill()
        process.communicate()


def test_files_that_are_no_pair_are_said(tmp_path: Path) -> None:
    certificate = pair(tmp_path, "one")
    (tmp_path / "other").mkdir()
    other = pair(tmp_path / "other", "two")
    for wrong in (
        Certificate(certificate.chain, other.private_key),
        Certificate(tmp_path / "none.pem", certificate.private_key),
    ):
        with pytest.raises(ServiceError, match="cannot be used"):
            wrong.context()
