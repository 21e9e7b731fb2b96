"""A bundle of three normalisations in a row, every tensor edited, and the same net by hand with statistics of its own.

    u₁ = x        uᵢ₊₁ = relu(normᵢ(uᵢ)) mixᵢ        logits = relu(norm₃(u₃)) headᵀ + bias        moments = [uᵢ, uᵢ²]

A code has one row of width 2 and drives every tensor, each within its bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper

from persona.bank import Bank
from persona.bundle import Bundle
from persona.decoder import Decoder, DensePart
from persona.edit import Array
from persona.jump import JumpSpec
from persona.renorm import Renorm, RenormLayer
from persona.sketch import SketchSpec, TapSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from tests.tiny_bundles import floats
from tests.worlds import onnx_bytes

WINDOW, EPSILON, BOUND = 16, 0.001, 0.5
NORMS = ("one", "two", "three")
STRENGTHS = {"one": 0.5, "two": 0.75, "three": 1.0}
MEANS = {"one": floats(1, -1), "two": floats(0.5, 0), "three": floats(-1, 1)}
VARIANCES = {"one": floats(4, 0.25), "two": floats(1, 2), "three": floats(0.5, 3)}
MIXES = {"one": floats([1, -0.5], [0.5, 2]), "two": floats([-1, 1], [0.25, 1.5])}
WEIGHTS = {
    "one.weight": floats(1, 2), "one.bias": floats(0.5, 1),
    "two.weight": floats(-1.5, 1), "two.bias": floats(1, -0.25),
    "three.weight": floats(0.75, 1.25), "three.bias": floats(0.5, 0.5),
    "head.weight": floats([1, -0.5], [0.25, 1]), "head.bias": floats(0, 0.25),
}  # fmt: skip


def chain_logits(x: Array, deltas: Mapping[str, Any], strengths: Mapping[str, float] = STRENGTHS) -> Any:
    """Return the logits of x under deltas, each layer with the statistics that its own input has here mixed in."""
    w = {name: np.asarray(value, np.float64) + deltas.get(name, 0.0) for name, value in WEIGHTS.items()}
    u = x.astype(np.float64)
    for norm in NORMS:
        share = strengths[norm]
        mean = share * u.mean(axis=0) + (1 - share) * MEANS[norm]
        variance = share * u.var(axis=0) + (1 - share) * VARIANCES[norm]
        h = (u - mean) / np.sqrt(variance + EPSILON) * w[f"{norm}.weight"] + w[f"{norm}.bias"]
        u = np.maximum(h, 0) @ MIXES.get(norm, np.eye(2))
    return u @ w["head.weight"].T + w["head.bias"]


def chain_graph() -> bytes:
    """Return the graph."""
    constants: dict[str, npt.NDArray[np.generic]] = {}
    nodes, taps, u = [], [], "x"
    for norm in NORMS:
        constants[f"{norm}_mean"] = MEANS[norm]
        constants[f"{norm}_spread"] = np.sqrt(VARIANCES[norm] + np.float32(EPSILON))
        constants[f"{norm}_mix"] = MIXES.get(norm, np.eye(2, dtype=np.float32))
        nodes += [
            helper.make_node("Mul", [u, u], [f"{norm}_squares"]),
            helper.make_node("Sub", [u, f"{norm}_mean"], [f"{norm}_shifted"]),
            helper.make_node("Div", [f"{norm}_shifted", f"{norm}_spread"], [f"{norm}_plain"]),
            helper.make_node("Mul", [f"{norm}_plain", f"{norm}.weight"], [f"{norm}_scaled"]),
            helper.make_node("Add", [f"{norm}_scaled", f"{norm}.bias"], [f"{norm}_h"]),
            helper.make_node("Relu", [f"{norm}_h"], [f"{norm}_relu"]),
            helper.make_node("MatMul", [f"{norm}_relu", f"{norm}_mix"], [f"{norm}_out"]),
        ]
        taps += [u, f"{norm}_squares"]
        u = f"{norm}_out"
    nodes.append(helper.make_node("Gemm", [u, "head.weight", "head.bias"], ["logits"], transB=1))
    nodes.append(helper.make_node("Concat", taps, ["moments"], axis=1))
    inputs: dict[str, list[int | str]] = {"x": ["N", 2], **{name: list(w.shape) for name, w in WEIGHTS.items()}}
    return onnx_bytes(inputs, {"logits": ["N", 2], "moments": ["N", 12]}, nodes, constants)


def chain_decoder() -> Decoder:
    """Return a decoder whose deltas differ from tensor to tensor and from entry to entry."""
    rng = np.random.default_rng(0)
    layers = []
    for name, kind in (*((norm, "norm") for norm in NORMS), ("head", "linear")):
        tensors = (f"{name}.{part}" for part in ("weight", "bias"))
        layers.append(LayerSpec(name, kind, tuple(TensorSpec(t, WEIGHTS[t].shape, BOUND) for t in tensors)))
    spec = ModelSpec(tuple(layers))
    parts = {}
    for tensor in spec.tensors:
        rows = rng.normal(size=(2, tensor.size)).astype(np.float32)
        parts[tensor.name] = DensePart(rows, np.zeros(tensor.size, np.float32))
    return Decoder(spec, parts, (1, 2))


def chain_renorm() -> Renorm:
    """Return the renormalisation of all three layers."""
    rows = ((n, MEANS[n], VARIANCES[n], WEIGHTS[f"{n}.weight"], STRENGTHS[n], EPSILON) for n in NORMS)
    return Renorm(tuple(RenormLayer(*row) for row in rows))


def chain_bundle() -> Bundle:
    """Return all of it together, as read from its bytes; the two prototypes are told apart by the first mean."""
    weight = np.zeros((14, 2), np.float32)
    weight[0, 0] = 1
    bundle = Bundle(
        graph=chain_graph(),
        weights=WEIGHTS,
        decoder=chain_decoder(),
        bank=Bank(floats([[1, 0.5]], [[-1, 0.25]]), np.array([5, 3]), weight, floats(0, 0), 7),
        sketch=SketchSpec.unscaled(tuple(TapSpec(norm, 2) for norm in NORMS), 2),
        jump=JumpSpec(np.full(4, 0.5, np.float32), 4.0, WINDOW),
        input_shape=(2,),
        support=(4, WINDOW),
        renorm=chain_renorm(),
    )
    return Bundle.from_bytes(bundle.to_bytes())
