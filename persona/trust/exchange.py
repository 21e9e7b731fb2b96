"""Version 2 of the wire: a request with a nonce, and a reply signed for that very request. docs/wire.md has the tables.

Both are a message of version 1 with another version byte and something behind it: 8 bytes of nonce, 64 of signature.
What is signed holds the hash of the whole request, so that a reply fits no other: none of yesterday, none of another
device, and none that was asked for with altered data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from persona.errors import MessageTooLarge, TrustError, WireError
from persona.trust.keys import SIGNATURE_BYTES, PublicKey, SigningKey
from persona.wire import REPLY_LIMIT_BYTES, REQUEST_LIMIT_BYTES, VERSION, AdaptReply, AdaptRequest, same_bundle

SIGNED_VERSION = 2
SIGNED_CONTENT_TYPE = "application/vnd.persona.v2"
NONCE_BYTES = 8
# What replies sign begins with this, so that no signature made for anything else passes for a reply's.
_DOMAIN = b"persona signed reply 2\0"


def seal_request(request: AdaptRequest, nonce: bytes) -> bytes:
    """Return a request that asks for a signed reply; WireError where it cannot be said, or for a nonce of other size.

    The nonce is `NONCE_BYTES` of fresh dice; the values of the request differ from time to time beside it.
    """
    if len(nonce) != NONCE_BYTES:
        raise WireError(f"a request's nonce is {len(nonce)} bytes; wanted {NONCE_BYTES}")
    data = _as_version(request.encode(), SIGNED_VERSION) + nonce
    if len(data) > REQUEST_LIMIT_BYTES:
        raise MessageTooLarge(f"a request is {len(data):,} bytes; the limit is {REQUEST_LIMIT_BYTES:,}: send less")
    return data


def open_request(data: bytes) -> AdaptRequest:
    """Read what `seal_request` wrote; WireError where it is something else."""
    if len(data) > REQUEST_LIMIT_BYTES:
        raise MessageTooLarge(f"a request is {len(data):,} bytes; the limit is {REQUEST_LIMIT_BYTES:,}")
    body, _ = _split(data, NONCE_BYTES, "request")
    return AdaptRequest.decode(body)


def seal_reply(reply: bytes, request: bytes, fingerprint: str, key: SigningKey) -> bytes:
    """Return an encoded reply of version 1 signed for a request as it arrived, and for a bundle's whole fingerprint."""
    body = _as_version(reply, SIGNED_VERSION)
    return body + key.sign(_message(body, request, fingerprint))


def open_reply(
    data: bytes, request: bytes, fingerprint: str, keys: Sequence[PublicKey], code_shape: tuple[int, int]
) -> AdaptReply:
    """Read a reply to the request that was sent, under the keys that count now.

    TrustError where none of them signed it for this request and this bundle; nothing of it is read before. WireError
    where it lies, or is none.
    """
    if len(data) > REPLY_LIMIT_BYTES:
        raise MessageTooLarge(f"a reply is {len(data):,} bytes; the limit is {REPLY_LIMIT_BYTES:,}")
    plain, signature = _split(data, SIGNATURE_BYTES, "reply")
    message = _message(data[:-SIGNATURE_BYTES], request, fingerprint)
    if not any(key.signed(signature, message) for key in keys):
        raise TrustError(
            f"a reply of {len(data)} bytes is signed by none of the {len(keys)} keys of this release for this request: "
            "altered, replayed, or from a service that does not hold a key; it is not used"
        )
    reply = AdaptReply.decode(plain, code_shape)
    same_bundle(reply, fingerprint)
    return reply


def plain_reply(data: bytes) -> bytes:
    """Return the reply of version 1 inside what `seal_reply` wrote, unverified: for whoever sealed it."""
    return _split(data, SIGNATURE_BYTES, "reply")[0]


def _message(body: bytes, request: bytes, fingerprint: str) -> bytes:
    return _DOMAIN + fingerprint.encode() + hashlib.sha256(request).digest() + body


def _as_version(data: bytes, version: int) -> bytes:
    return data[:2] + bytes([version]) + data[3:]


def _split(data: bytes, behind: int, what: str) -> tuple[bytes, bytes]:
    """Return a message as version 1 has it, and what stands behind it."""
    if len(data) < behind + 3:
        raise WireError(f"a signed {what} of {len(data)} bytes is too short")
    if data[2] != SIGNED_VERSION:
        raise WireError(
            f"a {what} has version {data[2]}, a signed one has {SIGNED_VERSION}; unsigned ones do not count"
        )
    return _as_version(data[:-behind], VERSION), data[-behind:]
