"""Files of item vectors that lie: truncated, of the wrong type, with rows that are no numbers, with false sizes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from persona.bundle import Bundle
from persona.container import pack
from persona.errors import BundleError, BundleVersionError, ExportError
from persona.item_vectors import KIND, pack_items, read_items
from persona.mapped import map_file
from persona.ranking import RankingSpec
from tests.hostile.forging import body_of, header_of, manifest_of
from tests.ranked import Ring

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
BIAS = np.zeros(4, np.float32)
HONEST = pack_items(VECTORS, BIAS)


def refused(path: Path, data: bytes, said: str = ".") -> None:
    (path / "items.persona").write_bytes(data)
    with pytest.raises(BundleError, match=said):
        read_items(path)


def framed(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_an_honest_one_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "items.persona").write_bytes(HONEST)
    found = read_items(tmp_path)
    assert np.array_equal(found.vectors[1:], VECTORS[1:])
    assert not found.vectors[0].any()
    assert found.fingerprint == map_file(KIND, tmp_path / "items.persona")[2]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, len(HONEST) // 2, len(HONEST) - 1])
def test_truncated(tmp_path: Path, length: int) -> None:
    refused(tmp_path, HONEST[:length])


def test_bytes_behind_the_end(tmp_path: Path) -> None:
    refused(tmp_path, HONEST + b"\0" * 16, "no array uses")


def test_an_altered_byte(tmp_path: Path) -> None:
    altered = bytearray(HONEST)
    altered[-5] ^= 1
    refused(tmp_path, bytes(altered), "altered")


def test_a_length_that_reaches_beyond(tmp_path: Path) -> None:
    for length in (len(HONEST), 1 << 40, (1 << 64) - 1):
        refused(tmp_path, length.to_bytes(8, "little") + HONEST[8:], "cut short")


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [400, 3]},
        {"shape": [-4, 3]},
        {"shape": [4.0, 3]},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [1 << 80, 0], "data_offsets": [0, 0]},
        {"shape": None},
        {"dtype": "F64"},
        {"dtype": "BF16"},
        {"data_offsets": [0, 1 << 40]},
        {"data_offsets": [-48, 0]},
        {"data_offsets": [48, 0]},
        {"data_offsets": [1, 49]},
        {"data_offsets": [0]},
    ],
    ids=str,
)
def test_sizes_that_lie(tmp_path: Path, change: dict[str, Any]) -> None:
    header = header_of(HONEST)
    header["vectors"] |= change
    refused(tmp_path, framed(header, body_of(HONEST)))


def test_arrays_that_overlap(tmp_path: Path) -> None:
    header = header_of(HONEST)
    header["vectors"]["data_offsets"] = [0, 48]
    refused(tmp_path, framed(header, body_of(HONEST)))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"vectors": VECTORS.astype(np.int64), "bias": BIAS}, "int64"),
        ({"vectors": VECTORS.astype(np.int8), "bias": BIAS}, "scale"),
        ({"vectors": VECTORS, "bias": BIAS, "scale": BIAS}, "scale"),
        ({"vectors": VECTORS.astype(np.int8), "bias": BIAS, "scale": BIAS - 1}, "below 0"),
        ({"vectors": VECTORS.astype(np.int8), "bias": BIAS, "scale": BIAS + np.nan}, "finite"),
        ({"vectors": VECTORS, "bias": BIAS.astype(np.float16)}, "float16"),
        ({"vectors": VECTORS, "bias": BIAS[:3]}, r"wanted float32 \(4,\)"),
        ({"vectors": VECTORS, "bias": BIAS + np.inf}, "finite"),
        ({"vectors": VECTORS[:1], "bias": BIAS[:1]}, "I from 1"),
        ({"vectors": VECTORS[0], "bias": BIAS}, "I from 1"),
        ({"vectors": VECTORS[:, :0], "bias": BIAS}, "I from 1"),
        ({"vectors": VECTORS}, "wanted vectors"),
        ({"bias": BIAS}, "wanted vectors"),
        ({"vectors": VECTORS, "bias": BIAS, "more": BIAS}, "wanted vectors"),
        ({"vectors": VECTORS, "bias": BIAS, "text/weight": VECTORS}, "wanted vectors"),
        ({"vectors": VECTORS, "bias": BIAS, "text/weight": VECTORS, "text/shift": BIAS}, "text map"),
        ({"vectors": VECTORS, "bias": BIAS, "text/weight": VECTORS.T * np.nan, "text/shift": BIAS}, "text map"),
    ],
)
def test_sealed_but_wrong(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    refused(tmp_path, pack(KIND, {}, arrays), said)


@pytest.mark.parametrize("row", [1, 3])
def test_rows_that_are_no_numbers(tmp_path: Path, row: int) -> None:
    for wrong, dtype in ((np.nan, np.float32), (np.inf, np.float16)):
        table = VECTORS.astype(dtype)
        table[row, 1] = wrong
        refused(tmp_path, pack(KIND, {}, {"vectors": table, "bias": BIAS}), f"item {row} has entries")


def test_another_kind_a_newer_format_no_manifest(tmp_path: Path) -> None:
    refused(tmp_path, pack("device", {}, {"vectors": VECTORS, "bias": BIAS}), "'device' bundle")
    manifest = json.dumps({**manifest_of(HONEST), "format": 2})
    newer = save({"vectors": VECTORS, "bias": BIAS}, metadata={"manifest": manifest})
    (tmp_path / "items.persona").write_bytes(newer)
    with pytest.raises(BundleVersionError):
        read_items(tmp_path)
    refused(tmp_path, save({"vectors": VECTORS, "bias": BIAS}), "without a manifest")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        read_items(tmp_path)
    (tmp_path / "items.persona").mkdir()
    with pytest.raises(BundleError, match="not a file"):
        read_items(tmp_path)


@pytest.mark.parametrize(
    "write",
    [
        lambda: pack_items(VECTORS * np.nan, BIAS),
        lambda: pack_items(VECTORS, BIAS[:2]),
        lambda: pack_items(VECTORS * 1e30, BIAS, "float16"),
        lambda: pack_items(VECTORS, BIAS, "int4"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_read_is_not_written(write: Callable[[], bytes]) -> None:
    with pytest.raises(ExportError):
        write()


@pytest.mark.parametrize(
    "ranking",
    [
        {"items": 0},
        {"items": 1 << 24},
        {"items": "many"},
        {"width": 0},
        {"width": None},
        {"fingerprint": "no"},
        {"fingerprint": 7},
    ],
    ids=str,
)
def test_a_bundle_whose_ranking_lies(tmp_path: Path, ranking: dict[str, Any]) -> None:
    ring = Ring(tmp_path)
    data = ring.bundle.to_bytes()
    assert Bundle.from_bytes(data).ranking == RankingSpec(6, 7, ring.catalogue.fingerprint)
    manifest = manifest_of(data)
    manifest["ranking"] |= ranking
    header = header_of(data)
    header["__metadata__"]["manifest"] = json.dumps(manifest)
    with pytest.raises(BundleError):
        Bundle.from_bytes(framed(header, body_of(data)))
