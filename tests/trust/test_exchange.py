"""Signed exchanges: what is said is what is heard, in the bytes that the page names, for one request alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import MessageTooLarge, TrustError, WireError
from persona.trust import open_reply, open_request, seal_reply, seal_request
from persona.wire import REPLY_LIMIT_BYTES, REQUEST_LIMIT_BYTES, AdaptReply, AdaptRequest
from tests.signed import key
from tests.test_wire import FINGERPRINT, SHAPE, replies, requests

NONCE = bytes(range(8))
FOLDER = Path(__file__).parents[1] / "vectors"
WIRE = json.loads((FOLDER / "wire-2.json").read_text())


@given(requests, st.binary(min_size=8, max_size=8))
def test_a_request_arrives_with_a_nonce_behind_it(request: AdaptRequest, nonce: bytes) -> None:
    data = seal_request(request, nonce)
    assert len(data) == len(request.encode()) + 8
    assert open_request(data).encode() == request.encode()


@given(replies, requests)
def test_a_signed_reply_arrives_as_it_was_sent(reply: AdaptReply, request: AdaptRequest) -> None:
    asked = seal_request(request, NONCE)
    data = seal_reply(reply.encode(), asked, FINGERPRINT, key("reply"))
    assert len(data) == len(reply.encode()) + 64
    keys = [key("next reply").public, key("reply").public]
    assert open_reply(data, asked, FINGERPRINT, keys, SHAPE).encode() == reply.encode()


def test_sizes_are_as_the_page_says() -> None:
    asked = seal_request(AdaptRequest(FINGERPRINT, "sketch", np.ones(4, np.float16), 8), NONCE)
    code = np.ones((1, 16), np.float32)
    for residual, dtype, size in ((None, "int8", 80), (code, "int8", 100), (code, "float16", 112)):
        data = AdaptReply(FINGERPRINT, 1, 2, 3, residual, dtype).encode()
        assert len(seal_reply(data, asked, FINGERPRINT, key("reply"))) == size


def test_limits_hold_for_the_whole() -> None:
    room = REQUEST_LIMIT_BYTES - 16 - 4
    asked = AdaptRequest(FINGERPRINT, "sketch", np.zeros(room - 8, np.uint8), 1)
    assert len(seal_request(asked, NONCE)) == REQUEST_LIMIT_BYTES
    with pytest.raises(MessageTooLarge):
        seal_request(AdaptRequest(FINGERPRINT, "sketch", np.zeros(room - 7, np.uint8), 1), NONCE)
    with pytest.raises(MessageTooLarge):
        open_request(bytes(REQUEST_LIMIT_BYTES + 1))
    with pytest.raises(MessageTooLarge):
        open_reply(bytes(REPLY_LIMIT_BYTES + 1), b"", FINGERPRINT, [], SHAPE)


@pytest.mark.parametrize("nonce", [b"", bytes(7), bytes(9)])
def test_a_nonce_of_another_size_is_not_sent(nonce: bytes) -> None:
    with pytest.raises(WireError, match="wanted 8"):
        seal_request(AdaptRequest(FINGERPRINT, "sketch", np.ones(4, np.float16), 8), nonce)


@pytest.mark.parametrize("message", WIRE["messages"], ids=lambda message: message["name"])
def test_golden_exchanges_are_written_and_read_as_ever(message: dict[str, Any]) -> None:
    request, reply = (bytes.fromhex(message[name]) for name in ("request", "reply"))
    signer = key(WIRE["seed"])
    assert signer.public.value.hex() == WIRE["public_key"]
    plain = open_request(request)
    assert seal_request(plain, bytes.fromhex(message["nonce"])) == request
    found = open_reply(reply, request, WIRE["fingerprint"], [signer.public], tuple(message["code_shape"]))
    assert seal_reply(found.encode(), request, WIRE["fingerprint"], signer) == reply
    assert (len(request), len(reply)) == (message["request_bytes"], message["reply_bytes"])
    assert (found.prototype, found.bank_version, found.expires_s) == tuple(message["numbers"])


def test_nothing_of_an_unsigned_reply_is_read() -> None:
    """A reply of version 1 does not count, and neither does rubbish under no signature: the signature comes first."""
    asked = seal_request(AdaptRequest(FINGERPRINT, "sketch", np.ones(4, np.float16), 8), NONCE)
    plain = AdaptReply(FINGERPRINT, 1, 2, 3).encode()
    with pytest.raises(WireError, match="has version 1, a signed one has 2"):
        open_reply(plain + bytes(64), asked, FINGERPRINT, [key("reply").public], SHAPE)
    with pytest.raises(TrustError, match="signed by none of the 1 keys"):
        open_reply(b"PR\2" + bytes(100), asked, FINGERPRINT, [key("reply").public], SHAPE)
