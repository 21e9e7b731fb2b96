"""Whole edits as bytes: each codec arrives within its error, and bytes that lie are refused."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona.bundle import Bundle
from persona.codecs import CODECS, decode_edit, encode_edit, relative_error
from persona.edit import Edit
from persona.errors import EditError, FingerprintMismatch, MessageTooLarge, PersonaError, WireError
from persona.prototypes.reply import choose_edit, edit_offers
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from tests.tiny_bundles import SPEC, tiny_bundle
from tests.worlds import World, accuracy

PRINT = "0123456789abcdef" * 4
TINY = Bundle.from_bytes(tiny_bundle().to_bytes())
CODES = arrays(np.float32, (2, 2), elements=st.floats(-40, 40, width=32))
# Bytes behind the ten of the head: 3 + 6 + 2 entries; rows 1 + 2 + 1; the head's weight has rank 1: 2 + 3 numbers.
SIZES = {
    "float32": 10 + 44,
    "float16": 10 + 22,
    "int8": 10 + 4 * 4 + 11,
    "factors": 10 + (1 + 4 + 3) + (1 + 10) + (1 + 4 + 2),
}


@pytest.mark.parametrize("codec", CODECS)
@given(code=CODES)
def test_an_edit_arrives_within_its_codecs_error(codec: str, code: Any) -> None:
    edit = TINY.decoder.decode(code)
    data = encode_edit(edit, SPEC, PRINT, codec, TINY.decoder.factors(code))
    assert len(data) == SIZES[codec]
    arrived = decode_edit(data, SPEC, PRINT)
    for tensor in SPEC.tensors:
        delta = edit.deltas[tensor.name]
        rows = np.abs(delta).max(axis=-1, keepdims=True)
        by_row = rows / 254 * 1.001 + 1e-30
        room = {
            "float32": np.zeros_like(rows),
            "float16": np.abs(delta) * 2**-11 + 2**-25,
            "int8": by_row,
            "factors": by_row if tensor.name != "head.weight" else tensor.bound * 0.02,
        }[codec]
        assert (np.abs(arrived.deltas[tensor.name] - delta) <= room).all()
    assert encode_edit(arrived, SPEC, PRINT, "float32") == encode_edit(
        decode_edit(data, SPEC, PRINT), SPEC, PRINT, "float32"
    )


def test_an_edit_at_its_bounds_survives_rounding() -> None:
    """float16 rounds 0.1 up, beyond the bound: the bound itself arrives."""
    spec = ModelSpec((LayerSpec("a", "norm", (TensorSpec("a", (2,), 0.3),)),))
    edit = Edit({"a": [np.float32(0.3), -np.float32(0.3)]})
    for codec in ("float16", "int8", "float32"):
        arrived = decode_edit(encode_edit(edit, spec, PRINT, codec), spec, PRINT)
        assert np.abs(arrived.deltas["a"]).max() <= np.float32(0.3)
        assert relative_error(edit, arrived) < 0.004


def test_what_is_lost_is_measured() -> None:
    edit = Edit({"norm.scale": [0.3, 0, 0], "head.weight": [[0, 0, 0], [0, 0.4, 0]], "head.bias": [0, 0]})
    moved = Edit({"norm.scale": [0, 0, 0], "head.weight": [[0, 0, 0], [0, 0.4, 0]], "head.bias": [0, 0]})
    assert relative_error(edit, edit) == 0
    assert relative_error(edit, moved) == pytest.approx(0.3 / 0.5)
    zero = Edit.zero(SPEC)
    assert relative_error(zero, zero) == 0
    assert relative_error(zero, edit) == pytest.approx(0.5)


@given(CODES, st.integers(30, 70), st.integers(0, 40))
def test_more_bytes_never_lose_and_the_budget_holds(code: Any, budget: int, more: int) -> None:
    offers = edit_offers(TINY.decoder.decode(code), TINY, code)
    small, large = choose_edit(offers, max(budget, 32)), choose_edit(offers, max(budget, 32) + more)
    assert large.loss <= small.loss
    assert small.size_bytes <= max(budget, 32)
    assert decode_edit(small.data, SPEC, TINY.fingerprint).distance(small.arrived) == 0


def test_a_budget_below_every_codec_is_refused() -> None:
    offers = edit_offers(Edit.zero(SPEC), TINY)
    assert [offer.codec for offer in offers] == ["int8", "float16", "float32"], "no factors without a code"
    with pytest.raises(MessageTooLarge, match="may take 31 bytes, its shortest form takes 32; send a code"):
        choose_edit(offers, 31)


def test_the_accuracy_of_what_arrives_is_measured() -> None:
    world = World()
    x, labels = world.sample(1, 400, np.random.default_rng(0), 0.5)
    edit = world.edit(1, 0.5)
    offers = edit_offers(edit, world.bundle, evaluate=lambda arrived: accuracy(world.logits(x, arrived), labels))
    assert {offer.codec: offer.accuracy for offer in offers} == {"int8": 1.0, "float16": 1.0, "float32": 1.0}
    assert [offer.loss < limit for offer, limit in zip(offers, (0.004, 0.0005, 1e-9), strict=True)] == [True] * 3


def test_what_a_codec_cannot_say_is_not_sent() -> None:
    spec = ModelSpec((LayerSpec("a", "norm", (TensorSpec("a", (2,), 1e6),)),))
    edit = Edit({"a": [1e5, 0]})
    with pytest.raises(WireError, match="float16 cannot say"):
        encode_edit(edit, spec, PRINT, "float16")
    with pytest.raises(WireError, match="codec is 'zip'"):
        encode_edit(edit, spec, PRINT, "zip")
    with pytest.raises(WireError, match="without factors"):
        encode_edit(edit, spec, PRINT, "factors")
    with pytest.raises(WireError, match="not hexadecimal"):
        encode_edit(edit, spec, "x", "int8")
    with pytest.raises(EditError, match="not finite"):
        encode_edit(Edit({"a": [np.nan, 0]}), spec, PRINT, "int8")


@pytest.mark.parametrize("codec", CODECS)
def test_an_edit_for_another_bundle_or_of_another_length_is_refused(codec: str) -> None:
    code = np.full((2, 2), 0.5, np.float32)
    data = encode_edit(TINY.decoder.decode(code), SPEC, PRINT, codec, TINY.decoder.factors(code))
    with pytest.raises(FingerprintMismatch, match="for bundle 0123456789ab"):
        decode_edit(data, SPEC, "f" * 64)
    for wrong in (*(data[:n] for n in range(len(data))), data + b"\0", b"PR" + data[2:], data[:2] + b"\2" + data[3:]):
        with pytest.raises(WireError):
            decode_edit(wrong, SPEC, PRINT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 0.51, -0.51])
def test_entries_beyond_the_bounds_are_refused(value: float) -> None:
    """The first tensor's bound is 0.5. A lie is not rounded into one that passes."""
    head = struct.pack("<2sBB6s", b"PE", 1, 1, bytes.fromhex(PRINT[:12]))
    with pytest.raises(EditError, match=r"norm\.scale"):
        decode_edit(head + struct.pack("<11f", value, *[0.0] * 10), SPEC, PRINT)


@pytest.mark.parametrize("scale", [np.nan, np.inf, 1e30, -1.0])
def test_scales_that_lie_are_refused(scale: float) -> None:
    head = struct.pack("<2sBB6s", b"PE", 1, 3, bytes.fromhex(PRINT[:12]))
    rest = bytes(SIZES["int8"] - 10 - 7)
    with pytest.raises(PersonaError):
        decode_edit(head + struct.pack("<f3b", scale, 127, 0, 0) + rest, SPEC, PRINT)


def test_factors_that_lie_are_refused() -> None:
    head = struct.pack("<2sBB6s", b"PE", 1, 4, bytes.fromhex(PRINT[:12]))
    scale = b"\0" + bytes(7)
    with pytest.raises(EditError, match=r"head\.weight.*not finite"):
        decode_edit(head + scale + b"\1" + struct.pack("<5e", np.nan, 0, 0, 0, 0) + b"\0" + bytes(6), SPEC, PRINT)
    with pytest.raises(WireError, match="ends within a tensor"):
        decode_edit(head + scale + b"\xff" + bytes(20), SPEC, PRINT)
    for pair in (
        (np.ones((3, 1)), np.ones((3, 1))),
        (np.ones((2, 1)), np.ones((3, 2))),
        (np.ones((2, 0)), np.ones((3, 0))),
    ):
        with pytest.raises(WireError, match=r"factors of 'head\.weight' have shapes"):
            encode_edit(Edit.zero(SPEC), SPEC, PRINT, "factors", {"head.weight": pair})
