"""Bundles: there and back, parts that must belong together, and the golden files of every format so far."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from persona.bundle import CLOUD_FILE, DEVICE_FILE, Bundle, CloudHalf, read_bundle, read_cloud_half, write_export
from persona.container import SIZE_LIMIT_BYTES
from persona.edit import Array
from persona.errors import BundleError
from persona.jump import JumpSpec
from persona.sketch import Sketch, SketchSpec, TapSpec
from tests.tiny_bundles import floats, tiny_bundle, tiny_decoder, tiny_weights

VECTORS = Path(__file__).parent / "vectors"
FORMATS = sorted(path.stem.rpartition("-")[2] for path in VECTORS.glob("device-format-*.persona"))


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest) -> tuple[Bundle, dict[str, Any]]:
    """A golden bundle and what was worked out for it by hand."""
    path = VECTORS / f"device-format-{request.param}.persona"
    return read_bundle(path), json.loads(path.with_suffix(".json").read_text())


def run(bundle: Bundle, x: Any, weights: dict[str, Array]) -> list[Any]:
    session = onnxruntime.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    return list(session.run(["logits", "moments"], {"x": np.array(x, np.float32), **weights}))


def test_there_is_a_golden_bundle_of_format_1() -> None:
    assert FORMATS[0] == "1"


def test_golden_facts(golden: tuple[Bundle, dict[str, Any]]) -> None:
    bundle, expected = golden
    assert bundle.fingerprint == expected["fingerprint"]
    assert bundle.spec.to_json() == expected["spec"]
    assert bundle.bank.version == expected["bank_version"]
    assert bundle.input_shape == tuple(expected["input_shape"])
    assert (bundle.context, bundle.support) == (expected["context"], tuple(expected["support"]))
    assert {"threshold": bundle.jump.threshold, "window": bundle.jump.window} == expected["jump"]


def test_golden_code_gives_its_edit_and_prototype(golden: tuple[Bundle, dict[str, Any]]) -> None:
    bundle, expected = golden
    edit = bundle.decoder.decode(expected["code"]).check(bundle.spec)
    assert edit.deltas.keys() == expected["edit"].keys()
    for name, values in expected["edit"].items():
        np.testing.assert_allclose(edit.deltas[name], values, rtol=1e-5, atol=1e-6)
    assert bundle.bank.assign(expected["code"]).tolist() == [expected["prototype"]]


def test_golden_graph_gives_its_logits(golden: tuple[Bundle, dict[str, Any]]) -> None:
    bundle, expected = golden
    weights = dict(bundle.weights)
    logits, moments = run(bundle, expected["x"], weights)
    np.testing.assert_allclose(logits, expected["logits_base"], atol=1e-5)
    np.testing.assert_allclose(moments, expected["moments"], atol=1e-5)
    features = Sketch.of(bundle.sketch, moments, logits).features(bundle.sketch)
    np.testing.assert_allclose(features, expected["features"], atol=1e-5)
    edited = bundle.decoder.decode(expected["code"]).apply(weights)
    np.testing.assert_allclose(run(bundle, expected["x"], edited)[0], expected["logits_edited"], atol=1e-5)


@pytest.mark.parametrize("number", FORMATS)
def test_golden_cloud_half(number: str) -> None:
    half = CloudHalf.from_bytes((VECTORS / f"cloud-format-{number}.persona").read_bytes())
    assert half.encoder == b"opaque to the reader of a bundle"
    assert half.bundle_fingerprint == read_bundle(VECTORS / f"device-format-{number}.persona").fingerprint


def test_bytes_there_and_back() -> None:
    bundle = tiny_bundle()
    data = bundle.to_bytes()
    again = Bundle.from_bytes(data)
    assert again.to_bytes() == data
    assert (again.graph, again.about, again.support, again.context) == (
        bundle.graph,
        bundle.about,
        bundle.support,
        bundle.context,
    )
    for name, value in bundle.weights.items():
        np.testing.assert_array_equal(again.weights[name], value)
    code = bundle.bank.codes[0]
    assert again.decoder.decode(code).distance(bundle.decoder.decode(code)) == 0


def test_the_fingerprint_is_stable_and_comes_from_reading() -> None:
    data = tiny_bundle().to_bytes()
    assert data == tiny_bundle().to_bytes()
    assert tiny_bundle().fingerprint == ""
    fingerprint = Bundle.from_bytes(data).fingerprint
    assert len(fingerprint) == 64
    assert Bundle.from_bytes(Bundle.from_bytes(data).to_bytes()).fingerprint == fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"graph": b"another graph"},
        {"weights": {**tiny_weights(), "head.bias": floats(0, 1)}},
        {"jump": JumpSpec(np.full(6, 0.25, np.float32), 2.75, 16)},
        {"input_shape": (3, 1)},
        {"context": "samples"},
        {"support": (4, 17)},
        {"about": {}},
        {"bank": dataclasses.replace(tiny_bundle().bank, version=8)},
        {"bank": dataclasses.replace(tiny_bundle().bank, counts=np.array([5, 4]))},
    ],
)
def test_every_part_has_its_say_in_the_fingerprint(changes: dict[str, Any]) -> None:
    changed = dataclasses.replace(tiny_bundle(), **changes)
    before, after = (Bundle.from_bytes(b.to_bytes()).fingerprint for b in (tiny_bundle(), changed))
    assert before != after


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {}}, r"weight 'norm\.scale' has shape None; its spec says \(3,\)"),
        (
            {"weights": {**tiny_weights(), "head.bias": floats(1)}},
            r"'head\.bias' has shape \(1,\); its spec says \(2,\)",
        ),
        ({"weights": {**tiny_weights(), "more": floats(1)}}, "has the weight 'more', which its spec does not list"),
        ({"weights": {**tiny_weights(), "head.bias": floats(0, math.nan)}}, r"'head\.bias' has entries .* not finite"),
        ({"decoder": dataclasses.replace(tiny_decoder(), code_shape=(1, 2))}, r"codes \(2, 2\), its decoder \(1, 2\)"),
        ({"sketch": SketchSpec.unscaled((TapSpec("x", 3),), 3)}, "bank maps 8 features, its sketch has 9"),
        ({"jump": JumpSpec(floats(1, 1), 1.0, 1)}, "noise of 2 features, the first tap of its sketch 6"),
        ({"input_shape": (3, 0)}, r"input has shape \(3, 0\) behind N"),
        ({"context": "thoughts"}, r"context 'thoughts', .*wanted one of \('sketch', 'samples'\)"),
        ({"support": (0, 8)}, r"support \(0, 8\)"),
        ({"support": (8, 4)}, r"support \(8, 4\)"),
    ],
)
def test_parts_must_belong_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        dataclasses.replace(tiny_bundle(), **changes)


def test_a_bundle_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {**tiny_weights(), "head.bias": np.zeros(2)}  # float64
    with pytest.raises(BundleError, match=r"'weights/head\.bias' of a bundle is float64; wanted float32"):
        write_export(tmp_path, dataclasses.replace(tiny_bundle(), weights=wrong), b"an encoder")
    with pytest.raises(BundleError, match=r"'encoder\.onnx' of a bundle is empty"):
        write_export(tmp_path, tiny_bundle(), b"")
    assert not list(tmp_path.iterdir())


def test_a_folder_and_its_file_are_the_same_bundle(tmp_path: Path) -> None:
    written = write_export(tmp_path, tiny_bundle(), b"an encoder")
    assert read_bundle(tmp_path).fingerprint == read_bundle(tmp_path / DEVICE_FILE).fingerprint == written.fingerprint


def test_the_halves_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    write_export(tmp_path, tiny_bundle(), b"an encoder")
    with pytest.raises(BundleError, match="is a 'cloud' bundle; wanted a 'device' one"):
        read_bundle(tmp_path / CLOUD_FILE)
    with pytest.raises(BundleError, match="is a 'device' bundle; wanted a 'cloud' one"):
        CloudHalf.from_bytes((tmp_path / DEVICE_FILE).read_bytes())


def test_files_that_cannot_be_read_are_bundle_errors(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"device\.persona cannot be read: No such file.*`persona export` writes one"):
        read_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"nowhere cannot be read: No such file"):
        read_bundle(tmp_path / "nowhere")
    (tmp_path / CLOUD_FILE).mkdir()
    with pytest.raises(BundleError, match=r"cloud\.persona is not a file"):
        read_cloud_half(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleError, match="is not a file"):
        read_bundle(tmp_path / "pipe")


def test_a_file_beyond_the_limit_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(SIZE_LIMIT_BYTES * 1000)  # takes no space on the disk
    with pytest.raises(BundleError, match=r"is 536,870,912,000 bytes; the limit is 536,870,912"):
        read_bundle(path)
