"""Every decoder under fire: whatever the bytes, a value or an error of the family, soon, and in little memory."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from persona.bank import Bank
from persona.bundle import Bundle, CloudHalf
from persona.codecs import CODECS, decode_edit, encode_edit
from persona.container import unpack
from persona.decoder import Decoder
from persona.device import HttpCloud, Unsigned, fetch_bundle
from persona.edit import Edit
from persona.errors import PersonaError, SpecError
from persona.gate import SketchGate
from persona.prior import PriorNet
from persona.renorm import Renorm
from persona.sketch import SketchSpec
from persona.spec import ModelSpec
from persona.trust import Release, Root, TrustedState, open_reply, open_request, seal_reply, seal_request
from persona.trust.canonical import parse
from persona.trust.metadata import Signed
from persona.wire import CONTENT_TYPE, AdaptReply, AdaptRequest
from tests.device.servers import Told, http_service, raw_service, read_request
from tests.hostile.lying_server import BUNDLE, OWNER
from tests.signed import NOW_S, Shelf, changed, key, trust_at
from tests.tiny_bundles import SPEC, tiny_bundle, tiny_decoder
from tests.tiny_parts import parts_bundle
from tests.worlds import World

PRINT = "0123456789abcdef" * 4
SHAPE = (1, 2)
REQUEST = AdaptRequest(PRINT, "sketch", np.arange(6, dtype=np.float32), 8)
REPLY = AdaptReply(PRINT, 1, 2, 3, np.array([[0.5, -0.25]], np.float32))
ASKED = seal_request(REQUEST, bytes(8))
TINY = Bundle.from_bytes(tiny_bundle().to_bytes())
EDIT = TINY.decoder.decode(np.full((2, 2), 0.25, np.float32))
FACTORS = tiny_decoder().factors(np.full((2, 2), 0.25, np.float32))
STATE = TrustedState(OWNER.root())
LIMIT_BYTES = 32 << 20  # what a decoder may hold for inputs of a few kilobytes

# Name → a decoder, and bytes that it reads.
DECODERS: dict[str, tuple[Callable[[bytes], Any], bytes]] = {
    "container": (lambda data: unpack("device", data), tiny_bundle().to_bytes()),
    "bundle": (Bundle.from_bytes, parts_bundle().to_bytes()),
    "cloud half": (CloudHalf.from_bytes, CloudHalf(b"an encoder", PRINT).to_bytes()),
    "request 1": (AdaptRequest.decode, REQUEST.encode()),
    "request 2": (open_request, ASKED),
    "reply 1": (lambda data: AdaptReply.decode(data, SHAPE), REPLY.encode()),
    "reply 2": (
        lambda data: open_reply(data, ASKED, PRINT, [key("reply").public], SHAPE),
        seal_reply(REPLY.encode(), ASKED, PRINT, key("reply")),
    ),
    "reply 2, signed": (
        lambda data: open_reply(
            seal_reply(data, ASKED, PRINT, key("reply")), ASKED, PRINT, [key("reply").public], SHAPE
        ),
        REPLY.encode(),
    ),
    "edit": (Edit.from_bytes, EDIT.to_bytes()),
    **{
        f"edit as {codec}": (
            lambda data: decode_edit(data, SPEC, PRINT), encode_edit(EDIT, SPEC, PRINT, codec, FACTORS)
        )
        for codec in CODECS
    },
    "root": (Root.read, OWNER.root()),
    "metadata": (lambda data: Signed.read("root", data), OWNER.root()),
    "trusted state": (TrustedState.from_bytes, STATE.to_bytes()),
    "trusted state, hashed": (
        lambda data: TrustedState.from_bytes(data + hashlib.sha256(data).digest()), STATE.to_bytes()[:-32]
    ),
}  # fmt: skip


def read(name: str, data: bytes) -> None:
    """Decode, and fail on any error outside the family and on memory beyond reason."""
    tracemalloc.start()
    try:
        DECODERS[name][0](data)
    except PersonaError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < LIMIT_BYTES, f"{peak:,} bytes for an input of {len(data):,}"


@pytest.mark.parametrize("name", DECODERS)
def test_the_honest_bytes_are_read(name: str) -> None:
    DECODERS[name][0](DECODERS[name][1])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=300))
def test_noise_crashes_no_decoder(name: str, data: bytes) -> None:
    read(name, data)
    read(name, DECODERS[name][1][:10] + data)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(DECODERS)))
def test_no_splice_crashes_a_decoder(data: st.DataObject, name: str) -> None:
    whole = DECODERS[name][1]
    at = data.draw(st.integers(0, len(whole)))
    inserted = data.draw(st.binary(max_size=12))
    read(name, whole[:at] + inserted + whole[at + data.draw(st.integers(0, 12)) :])
    flipped = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        flipped[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    read(name, bytes(flipped))


@pytest.mark.parametrize("name", DECODERS)
def test_large_numbers_anywhere_cost_no_memory(name: str) -> None:
    """Lengths, shapes and counts that lie: four bytes of ones, at every place of the first two hundred."""
    whole = DECODERS[name][1]
    for at in range(min(len(whole) - 4, 200)):
        for lie in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"):
            read(name, whole[:at] + lie + whole[at + 4 :])


def parts_of(prefix: str) -> dict[str, Any]:
    return {n.removeprefix(prefix): a for n, a in parts_bundle()._arrays().items() if n.startswith(prefix)}


ARRAYS: dict[str, tuple[Callable[[dict[str, Any]], Any], dict[str, Any]]] = {
    "bank": (lambda found: Bank.from_arrays(found, 1), parts_of("bank/")),
    "bank with a metric": (
        lambda found: Bank.from_arrays(found, 1), {**parts_of("bank/"), "metric": np.eye(2, dtype=np.float32)}
    ),
    "gate": (SketchGate.from_arrays, parts_of("gate/")),
    "prior": (PriorNet.from_arrays, parts_of("prior/")),
    "renorm": (lambda found: Renorm.from_arrays(found, {"norm": 3}), parts_of("renorm/")),
    "decoder": (lambda found: Decoder.from_arrays(SPEC, (2, 2), found), tiny_decoder().to_arrays()),
}  # fmt: skip
ANY_ARRAY = st.sampled_from([np.float32, np.float32, np.int64, np.uint8, np.float16]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(sorted(ARRAYS)), ANY_ARRAY)
def test_no_arrays_crash_a_part_of_a_bundle(data: st.DataObject, name: str, array: Any) -> None:
    """The same set of names with one array of any shape, dtype and entries, NaN among them, or one missing."""
    decode, honest = ARRAYS[name]
    decode(honest)
    victim = data.draw(st.sampled_from(sorted(honest)))
    for found in ({**honest, victim: array}, {n: a for n, a in honest.items() if n != victim}):
        with suppress(PersonaError), np.errstate(all="ignore"):
            decode(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_no_json_crashes_a_spec(value: Any) -> None:
    zeros = np.zeros(8, np.float32)
    for decode in (ModelSpec.from_json, lambda found: SketchSpec.from_json(found, zeros, zeros + 1)):
        # what `Bundle.from_bytes` turns into one of its own
        with suppress(SpecError, KeyError, TypeError, ValueError, OverflowError):
            decode(value)


PLACES = ("version", "expires", "keys", "roles", "targets", "meta", "_type", "spec_version", "custom")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=("Cs",)), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PLACES), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(PLACES), PLAIN)
def test_no_signed_fact_crashes_a_reader_of_metadata(name: str, value: Any) -> None:
    """Signed by the right key, so that everything behind the signature is reached."""
    wrong = changed(OWNER.root(), {name: value}, key("root"))
    for decode in (
        lambda: Root.read(wrong),
        lambda: TrustedState(wrong),
        lambda: Release.of(Signed.read("root", wrong)),
        lambda: Signed.read("root", wrong).check_fresh(NOW_S),
        lambda: trust_at().refresh(Shelf({"2.root.json": wrong, "timestamp.json": wrong})),
    ):
        with suppress(PersonaError):
            decode()
    assert parse(wrong, 1 << 20, "a value")["signed"].get(name) == value


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_no_numbers_of_a_trusted_state_crash_its_reader(timestamp: int, release: int, seen_s: int, length: int) -> None:
    root = OWNER.root()
    body = struct.pack("<3sBIIIQII", b"PTS", 1, timestamp, 1, release, seen_s, length, 0) + root
    read("trusted state, hashed", body)


HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Content-Encoding", "ETag", "Location", "X-Any"]),
    st.sampled_from([CONTENT_TYPE, "application/problem+json", "gzip", "text/html", "", "http://127.0.0.1:1/"]),
    max_size=3,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([200, 201, 204, 301, 304, 400, 404, 409, 500, 503, 599]), st.binary(max_size=200), HEADERS)
def test_no_http_answer_crashes_a_device(status: int, body: bytes, headers: dict[str, str]) -> None:
    told = Told(status, b"" if status in (204, 304) else body, headers)
    world = AdaptRequest(BUNDLE.fingerprint, "sketch", np.ones(10, np.float32), 32)
    with http_service(lambda _: told) as url:
        for trust in (Unsigned(), trust_at()):
            with HttpCloud(url, 5.0, trust=trust) as cloud, pytest.raises(PersonaError):
                cloud.adapt(world, SHAPE)
            with pytest.raises(PersonaError):
                fetch_bundle(url, timeout_s=5.0, trust=trust)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_of_a_socket_crash_a_device(data: bytes, as_http: bool) -> None:
    def talk(connection: Any, _over: Any) -> None:
        read_request(connection)
        connection.sendall((b"HTTP/1.1 200 OK\r\n" if as_http else b"") + data)

    with raw_service(talk) as url, HttpCloud(url, 5.0, trust=Unsigned()) as cloud, pytest.raises(PersonaError):
        cloud.adapt(AdaptRequest(BUNDLE.fingerprint, "sketch", np.ones(10, np.float32), 32), SHAPE)


def test_a_device_asks_nothing_that_a_service_cannot_read() -> None:
    """Both ends agree: what is sealed here opens there, and only there as version 2."""
    world = World()
    reply = world.answer(open_request(seal_request(REQUEST, bytes(8))))
    assert reply.encode()
    with pytest.raises(PersonaError):
        AdaptRequest.decode(ASKED)
    with pytest.raises(PersonaError):
        open_request(REQUEST.encode())
