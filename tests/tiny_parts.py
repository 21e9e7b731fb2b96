"""A bundle with every optional part, small enough to check by hand: a normalisation of three inputs, and a head.

    h = (x − mean) / √(variance + ε) · norm.weight + norm.bias        logits = h headᵀ + bias        moments = [x, x²]

A code has one row of width 2 and drives the head's bias alone. Features are raw: three means, three log-variances, two
class shares. The gate knows one direction, the first feature's mean, and everything else lies outside. The prior term
adds the log of a class's estimated share over an even one where that is positive, less the mean over the classes.
"""

from __future__ import annotations

import numpy as np
from onnx import helper

from persona.bank import Bank
from persona.bundle import Bundle
from persona.decoder import Decoder, DensePart
from persona.edit import Array
from persona.gate import SketchGate
from persona.jump import JumpSpec
from persona.mixture import MixtureTest
from persona.prior import PriorNet
from persona.renorm import Renorm, RenormLayer
from persona.sketch import SketchSpec, TapSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from tests.tiny_bundles import floats
from tests.worlds import onnx_bytes

WINDOW = 16
EPSILON, STRENGTH = 0.001, 0.5
MEAN, VARIANCE = floats(1, 0, -1), floats(4, 1, 0.25)
FULL, NONE = 1.0, 3.0  # distances up to which a gate weighs 1, and from which 0
SPEC = ModelSpec(
    (
        LayerSpec("norm", "norm", (TensorSpec("norm.weight", (3,), 0.5), TensorSpec("norm.bias", (3,), 0.5))),
        LayerSpec("head", "linear", (TensorSpec("head.weight", (2, 3), 2.0), TensorSpec("head.bias", (2,), 0.25))),
    )
)
WEIGHTS = {
    "norm.weight": floats(1, 2, 0.5),
    "norm.bias": floats(0.5, 0, -1),
    "head.weight": floats([1, 0, 0.5], [0, 1, -0.5]),
    "head.bias": floats(0, 0.25),
}


def parts_graph() -> bytes:
    """Return the graph."""
    spread = np.sqrt(VARIANCE + np.float32(EPSILON))
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["shifted"]),
        helper.make_node("Div", ["shifted", "spread"], ["plain"]),
        helper.make_node("Mul", ["plain", "norm.weight"], ["scaled"]),
        helper.make_node("Add", ["scaled", "norm.bias"], ["h"]),
        helper.make_node("Gemm", ["h", "head.weight", "head.bias"], ["logits"], transB=1),
        helper.make_node("Mul", ["x", "x"], ["squares"]),
        helper.make_node("Concat", ["x", "squares"], ["moments"], axis=1),
    ]
    inputs: dict[str, list[int | str]] = {"x": ["N", 3], **{name: list(w.shape) for name, w in WEIGHTS.items()}}
    return onnx_bytes(inputs, {"logits": ["N", 2], "moments": ["N", 6]}, nodes, {"mean": MEAN, "spread": spread})


def parts_decoder() -> Decoder:
    """Return a decoder that leaves everything but the head's bias as it is."""
    parts = {t.name: DensePart(np.zeros((2, t.size), np.float32), np.zeros(t.size, np.float32)) for t in SPEC.tensors}
    parts["head.bias"] = DensePart(floats([1, 0], [0, 1]), floats(0, 0))
    return Decoder(SPEC, parts, (1, 2))


def parts_renorm(strength: float = STRENGTH) -> Renorm:
    """Return the renormalisation of the one layer."""
    return Renorm((RenormLayer("norm", MEAN, VARIANCE, WEIGHTS["norm.weight"], strength, EPSILON),))


def parts_gate(full: float = FULL, none: float = NONE, center: Array | None = None) -> SketchGate:
    """Return a gate around a centre; without one, around the origin."""
    middle = np.zeros(8, np.float32) if center is None else center
    return SketchGate(middle, np.eye(1, 8, dtype=np.float32), floats(1), floats(1, 1, full, none))


def parts_prior() -> PriorNet:
    """Return a net of one hidden unit a layer that passes the first feature on."""
    one = floats([1])
    return PriorNet(
        {"w1": np.eye(7, 1, dtype=np.float32), "b1": floats(0), "w2": one, "b2": floats(0), "w3": one, "b3": floats(0)}
    )


def parts_mixture() -> MixtureTest:
    """Return a test that takes a window for mixed where the first feature's mean is 100 or more."""
    weights = np.zeros((2, 6), np.float32)
    weights[1, 0] = 1
    return MixtureTest(np.zeros(6, np.float32), np.ones(6, np.float32), weights, floats(50, 100))


def parts_bundle() -> Bundle:
    """Return all of it together; its two prototypes are (1, 0) and (−1, 0), told apart by the first input's mean."""
    weight = np.zeros((8, 2), np.float32)
    weight[0, 0] = 1
    return Bundle(
        graph=parts_graph(),
        weights=WEIGHTS,
        decoder=parts_decoder(),
        bank=Bank(floats([[1, 0]], [[-1, 0]]), np.array([5, 3]), weight, floats(0, 0), 7),
        sketch=SketchSpec.unscaled((TapSpec("norm", 3),), 2),
        jump=JumpSpec(np.full(6, 0.5, np.float32), 4.0, WINDOW),
        input_shape=(3,),
        support=(4, WINDOW),
        about={"task": "tiny"},
        renorm=parts_renorm(),
        gate=parts_gate(),
        prior=parts_prior(),
    )
