"""Messages: what is said is what is heard, and bytes that lie are refused as WireError and nothing else."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from persona.errors import FingerprintMismatch, MessageTooLarge, WireError
from persona.wire import REPLY_LIMIT_BYTES, REQUEST_LIMIT_BYTES, AdaptReply, AdaptRequest, same_bundle

FINGERPRINT = "0123456789abcdef" * 4
SHAPE = (2, 3)
CODE_DTYPES = ["float32", "float16", "int8"]

contexts = st.sampled_from(["sketch", "samples"])
uint16 = st.integers(0, 65535)
shapes = hnp.array_shapes(min_dims=1, max_dims=6, min_side=1, max_side=4)
finite = {"allow_nan": False, "allow_infinity": False}
values = st.one_of(
    hnp.arrays(np.float32, shapes, elements=st.floats(width=32, **finite)),
    hnp.arrays(np.float16, shapes, elements=st.floats(width=16, **finite)),
    *(hnp.arrays(dtype, shapes) for dtype in (np.uint8, np.int32, np.int64)),
)
requests = st.builds(AdaptRequest, st.just(FINGERPRINT), contexts, values, st.integers(0, 2**32 - 1))
codes = hnp.arrays(np.float32, SHAPE, elements=st.floats(-60000, 60000, width=32))
replies = st.builds(
    AdaptReply, st.just(FINGERPRINT), uint16, uint16, uint16, st.none() | codes, st.sampled_from(CODE_DTYPES)
)


def a_request(values: npt.ArrayLike = (1.0, 2.0), **facts: Any) -> AdaptRequest:
    array = values if isinstance(values, np.ndarray) else np.asarray(values, np.float32)
    return AdaptRequest(**{"fingerprint": FINGERPRINT, "context": "sketch", "values": array, "count": 4, **facts})


def a_reply(residual: npt.ArrayLike | None = None, **facts: Any) -> AdaptReply:
    code = None if residual is None else np.asarray(residual, np.float32)
    numbers = {"prototype": 1, "bank_version": 2, "expires_s": 3}
    return AdaptReply(**{"fingerprint": FINGERPRINT, **numbers, "residual": code, **facts})


@given(requests)
def test_a_request_arrives_as_it_was_sent(request: AdaptRequest) -> None:
    data = request.encode()
    found = AdaptRequest.decode(data)
    assert found.fingerprint == FINGERPRINT[:12]
    assert (found.context, found.count) == (request.context, request.count)
    assert found.values.dtype == request.values.dtype
    np.testing.assert_array_equal(found.values, request.values)
    assert found.encode() == data


@given(replies)
def test_a_reply_arrives_as_it_was_sent(reply: AdaptReply) -> None:
    found = AdaptReply.decode(reply.encode(), SHAPE)
    assert (found.prototype, found.bank_version, found.expires_s) == (
        reply.prototype,
        reply.bank_version,
        reply.expires_s,
    )
    if reply.residual is None:
        assert found.residual is None
        return
    assert found.residual is not None
    largest = float(np.abs(reply.residual).max())
    error = {"float32": 0.0, "float16": largest * 2**-10 + 2**-24, "int8": largest / 127 + 1e-40}[reply.code_dtype]
    assert found.code_dtype == reply.code_dtype
    np.testing.assert_allclose(found.residual, reply.residual, rtol=0, atol=error)


@given(hnp.arrays(np.float32, SHAPE, elements=st.floats(-(2**-122), 2**-122, width=32, allow_subnormal=True)))
def test_the_smallest_codes_survive_eight_bits(code: npt.NDArray[np.float32]) -> None:
    found = AdaptReply.decode(a_reply(code, code_dtype="int8").encode(), SHAPE).residual
    assert found is not None
    np.testing.assert_allclose(found, code, rtol=0, atol=float(np.abs(code).max()) / 127 + 1e-42)


def test_arrays_of_the_other_byte_order_and_with_strides_are_sent_as_they_read() -> None:
    wanted = np.arange(12, dtype=np.float32).reshape(3, 4)
    for array in (
        wanted.astype(">f4"),
        np.asfortranarray(wanted),
        np.arange(24.0, dtype=np.float32)[::2].reshape(3, 4),
    ):
        found = AdaptRequest.decode(a_request(array, context="samples").encode()).values
        np.testing.assert_array_equal(found, array)


def test_sizes_are_as_the_page_says() -> None:
    assert len(a_reply().encode()) == 16
    assert len(a_reply(np.ones((1, 16)), code_dtype="int8").encode()) == 16 + 4 + 16
    assert len(a_reply(np.ones((1, 16))).encode()) == 16 + 32
    assert len(a_request(np.ones(538, np.float16)).encode()) == 16 + 4 + 1076


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (a_request(context="dream"), "context is 'dream'; wanted one of sketch, samples"),
        (a_request(np.ones(3)), "values are float64"),
        (a_request(np.array(["a"])), "values are <U1"),
        (a_request(np.array([None])), "values are object"),
        (a_request(np.array([True])), "values are bool"),
        (a_request(np.ones((1,) * 7, np.float32)), r"shape \(1, 1, 1, 1, 1, 1, 1\).*1 to 6 axes"),
        (a_request(np.float32(1)[()], count=1), "1 to 6 axes"),
        (a_request(np.ones((2, 0), np.float32)), "none empty"),
        (a_request([np.nan]), "not finite"),
        (a_request(np.array([np.inf], np.float16)), "not finite"),
        (a_request(count=-1), "counts -1 samples"),
        (a_request(count=2**32), "counts 4294967296 samples"),
        (a_request(fingerprint=""), "too short"),
        (a_request(fingerprint="0123456789a"), "hexadecimal"),
        (a_request(fingerprint="xx" * 32), "not hexadecimal"),
        (a_request(fingerprint="ä" * 64), "not hexadecimal"),
        (a_request(fingerprint="01 23 45 67 89 ab"), "too short"),
    ],
)
def test_a_request_that_cannot_be_said_is_not(request_: AdaptRequest, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        request_.encode()


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (a_reply(prototype=-1), "prototype -1"),
        (a_reply(prototype=65536), "prototype 65536"),
        (a_reply(bank_version=65536), "bank version 65536"),
        (a_reply(expires_s=65536), "expiry 65536 s"),
        (a_reply(code_dtype="int4"), "code dtype is 'int4'; wanted one of float32, float16, int8"),
        (a_reply([[np.nan]]), "not finite"),
        (a_reply([[np.inf]], code_dtype="int8"), "not finite"),
        (a_reply([[65536.0]]), "too much for float16"),
        (a_reply(fingerprint="?"), "not hexadecimal"),
    ],
)
def test_a_reply_that_cannot_be_said_is_not(reply: AdaptReply, complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        reply.encode()


def test_a_request_has_a_limit_on_both_sides() -> None:
    room = REQUEST_LIMIT_BYTES - 16 - 4
    whole = a_request(np.zeros(room, np.uint8)).encode()
    assert len(whole) == REQUEST_LIMIT_BYTES
    assert AdaptRequest.decode(whole).values.size == room
    with pytest.raises(MessageTooLarge, match="8,388,609 bytes; the limit is 8,388,608"):
        a_request(np.zeros(room + 1, np.uint8)).encode()
    with pytest.raises(MessageTooLarge, match="8,388,609 bytes"):
        AdaptRequest.decode(whole + b"\0")


def test_a_reply_has_a_limit() -> None:
    shape = (1, (REPLY_LIMIT_BYTES - 16) // 4)
    whole = a_reply(np.zeros(shape), code_dtype="float32").encode()
    assert AdaptReply.decode(whole, shape).residual is not None
    with pytest.raises(MessageTooLarge, match="65,537 bytes"):
        AdaptReply.decode(whole + b"\0", shape)


def refuses_or_reads(data: bytes) -> None:
    """Decode as both kinds of message; anything but a value or a WireError fails the test."""
    for decode in (AdaptRequest.decode, lambda d: AdaptReply.decode(d, SHAPE)):
        try:
            found = decode(data)
        except WireError:
            continue
        assert found.encode()[:2] == data[:2]


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    refuses_or_reads(data)


@given(st.sampled_from([b"PQ\x01", b"PR\x01"]), st.binary(max_size=80))
def test_random_bytes_behind_a_true_beginning_are_refused_or_read(beginning: bytes, rest: bytes) -> None:
    refuses_or_reads(beginning + rest)


@given(requests | replies, st.data())
def test_a_message_cut_or_lengthened_is_refused(message: AdaptRequest | AdaptReply, data: st.DataObject) -> None:
    whole = message.encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    longer = whole + data.draw(st.binary(min_size=1, max_size=40))
    for wrong in (cut, longer):
        if isinstance(message, AdaptRequest):
            with pytest.raises(WireError):
                AdaptRequest.decode(wrong)
        else:
            with pytest.raises(WireError):
                AdaptReply.decode(wrong, SHAPE)


@given(requests | replies, st.data())
def test_a_flipped_bit_is_refused_or_read(message: AdaptRequest | AdaptReply, data: st.DataObject) -> None:
    whole = bytearray(message.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refuses_or_reads(bytes(whole))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (3, 2), (2, 2), (2, 4), (1, 10**9)])
def test_a_code_of_another_shape_is_refused_where_its_size_differs(shape: tuple[int, int]) -> None:
    for dtype in CODE_DTYPES:
        data = a_reply(np.ones(SHAPE), code_dtype=dtype).encode()
        if shape[0] * shape[1] == 6:  # the shape is the bundle's to know
            assert AdaptReply.decode(data, shape).residual is not None
        else:
            with pytest.raises(WireError, match="takes"):
                AdaptReply.decode(data, shape)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), float("-inf"), 3e38])
def test_a_scale_that_lies_is_refused(scale: float) -> None:
    head = a_reply(np.ones((1, 2)), code_dtype="int8").encode()[:16]
    with pytest.raises(WireError, match="not finite"):
        AdaptReply.decode(head + struct.pack("<f2b", scale, 0, 127), (1, 2))


@pytest.mark.parametrize("kind", [4, 255])
def test_a_code_type_that_does_not_exist_is_refused(kind: int) -> None:
    data = bytearray(a_reply().encode())
    data[3] = kind
    with pytest.raises(WireError, match=f"code dtype {kind}"):
        AdaptReply.decode(bytes(data), SHAPE)


def test_a_request_is_no_reply_and_the_other_way_round() -> None:
    with pytest.raises(WireError, match="are not a reply: they start with b'PQ'"):
        AdaptReply.decode(a_request().encode(), SHAPE)
    with pytest.raises(WireError, match="are not a request: they start with b'PR'"):
        AdaptRequest.decode(a_reply().encode())


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_names_both(version: int) -> None:
    data = bytearray(a_reply().encode())
    data[2] = version
    with pytest.raises(WireError, match=f"version {version}, this release speaks 1"):
        AdaptReply.decode(bytes(data), SHAPE)


def test_a_message_for_another_bundle_is_noticed() -> None:
    message = AdaptRequest.decode(a_request().encode())
    same_bundle(message, FINGERPRINT)
    same_bundle(a_request(), FINGERPRINT)
    with pytest.raises(FingerprintMismatch, match="for bundle 0123456789ab, this side has fedcba987654"):
        same_bundle(message, "fedcba9876543210" * 4)
