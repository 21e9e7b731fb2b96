"""The parts that a bundle may lack: renormalisation, gate, prior term; there and back, and the golden file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load

from persona.bundle import Bundle, read_bundle
from persona.edit import Edit
from persona.errors import BundleError
from persona.prior import PriorState, class_features
from persona.renorm import Renorm
from persona.sketch import Sketch, SketchSpec, TapSpec
from tests.hostile.forging import facts_of
from tests.tiny_bundles import floats, tiny_bundle
from tests.tiny_parts import parts_bundle, parts_gate, parts_mixture, parts_prior, parts_renorm

VECTORS = Path(__file__).parent / "vectors"
PARTS: dict[str, Any] = {
    "renorm": parts_renorm(), "gate": parts_gate(), "prior": parts_prior(), "mixture": parts_mixture()
}  # fmt: skip


def names(data: bytes) -> set[str]:
    """Return under what the arrays of a bundle stand."""
    return {name.partition("/")[0] for name in load(data)}


def test_a_bundle_without_them_is_written_as_ever() -> None:
    path = VECTORS / "device-format-1.persona"
    golden = read_bundle(path)
    assert (golden.renorm, golden.gate, golden.prior, golden.mixture) == (None,) * 4
    assert golden.to_bytes() == path.read_bytes()
    assert not names(golden.to_bytes()) & PARTS.keys()


@pytest.mark.parametrize("chosen", [(), ("renorm",), ("gate",), ("prior",), ("mixture",), tuple(PARTS)])
def test_each_part_comes_and_goes_by_itself(chosen: tuple[str, ...]) -> None:
    bundle = dataclasses.replace(parts_bundle(), **{name: PARTS[name] if name in chosen else None for name in PARTS})
    data = bundle.to_bytes()
    again = Bundle.from_bytes(data)
    assert names(data) & PARTS.keys() == set(chosen)
    assert {name for name in PARTS if getattr(again, name) is not None} == set(chosen)
    assert again.to_bytes() == data
    assert facts_of(data) == facts_of(parts_bundle().to_bytes())  # the arrays say it all


def test_every_part_has_its_say_in_the_fingerprint() -> None:
    whole = dataclasses.replace(parts_bundle(), **PARTS)
    bundles = [whole, *(dataclasses.replace(whole, **{name: None}) for name in PARTS)]
    bundles.append(dataclasses.replace(parts_bundle(), renorm=parts_renorm(0.75)))
    assert len({Bundle.from_bytes(bundle.to_bytes()).fingerprint for bundle in bundles}) == len(bundles)


def test_the_golden_bundle_gives_what_was_worked_out_by_hand() -> None:
    path = VECTORS / "device-parts-1.persona"
    bundle, expected = read_bundle(path), json.loads(path.with_suffix(".json").read_text())
    assert bundle.fingerprint == expected["fingerprint"]
    assert bundle.to_bytes() == path.read_bytes()
    assert len(bundle.to_bytes()) == expected["size_bytes"]
    assert bundle.renorm is not None
    assert bundle.gate is not None
    assert bundle.prior is not None
    session = onnxruntime.InferenceSession(bundle.graph, providers=["CPUExecutionProvider"])
    x = {"x": np.array(expected["x"], np.float32)}
    logits, moments = session.run(["logits", "moments"], {**x, **bundle.weights})
    sketch = Sketch.of(bundle.sketch, moments, logits)
    np.testing.assert_allclose(sketch.features(bundle.sketch), expected["features"], atol=1e-5)
    weight = bundle.gate.weight(sketch.features(bundle.sketch))
    assert weight == pytest.approx(expected["gate_weight"], abs=1e-5)
    assert 0 < weight < 1
    given = {name: np.array(values, np.float32) for name, values in expected["learned"].items()}
    for deltas, wanted in (({}, expected["local"]), (given, expected["settled"])):
        found = bundle.renorm.settled(bundle.sketch, sketch, deltas)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values, atol=1e-5)
    learned = bundle.decoder.decode(expected["code"]).scale(weight).deltas
    weights = Edit(bundle.renorm.settled(bundle.sketch, sketch, learned)).apply(bundle.weights)
    (edited,) = session.run(["logits"], {**x, **weights})
    np.testing.assert_allclose(edited, expected["logits"], atol=1e-5)
    bias = bundle.prior.bias(class_features(PriorState.empty(2).after(edited), edited))
    np.testing.assert_allclose(bias, expected["prior_bias"], atol=1e-5)


def test_a_renormalisation_of_no_layer_is_none() -> None:
    again = Bundle.from_bytes(dataclasses.replace(parts_bundle(), renorm=Renorm()).to_bytes())
    assert again.renorm is None


UNTAPPED = SketchSpec.unscaled((TapSpec("x", 3),), 2)
LAYER = parts_renorm().layers[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sketch": UNTAPPED}, "a bundle's renormalisation of 'norm' needs its input tapped: 3 channels, order 2"),
        (
            {"renorm": Renorm((dataclasses.replace(LAYER, scale=floats(1, 2, 1)),))},
            "renormalises 'norm' with another scale than its weight",
        ),
        ({"gate": dataclasses.replace(parts_gate(), center=floats(1), directions=floats([1]))}, "reads 1 features"),
        (
            {
                "sketch": SketchSpec.unscaled((TapSpec("norm", 3),), 0),
                "gate": None,
                "bank": dataclasses.replace(parts_bundle().bank, map_weight=np.zeros((6, 2), np.float32)),
            },
            "has a prior term, but its sketch has no classes",
        ),
    ],
)
def test_parts_must_belong_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        dataclasses.replace(parts_bundle(), **changes)


@pytest.mark.parametrize("layer", ["input", "head"])
def test_only_a_layer_whose_scale_and_shift_are_edited_is_renormalised(layer: str) -> None:
    """The tiny bundle edits norm.scale alone; a head has a weight and a bias, but of other shapes."""
    bundle = dataclasses.replace(tiny_bundle(), sketch=SketchSpec.unscaled((TapSpec(layer, 3),), 2))
    with pytest.raises(BundleError, match=f"renormalises '{layer}', but does not edit its weight and bias"):
        dataclasses.replace(bundle, renorm=Renorm((dataclasses.replace(LAYER, name=layer),)))
