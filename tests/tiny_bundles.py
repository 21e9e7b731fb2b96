"""A bundle small enough to check by hand: three inputs, two classes, a norm layer and a head.

    h = x · norm.scale        logits = h headᵀ + bias        moments = [x, x²]

Codes have one row a layer, of width 2. The first row drives ``norm.scale``, the second the head.
"""

from __future__ import annotations

import numpy as np

from persona.bank import Bank
from persona.bundle import Bundle
from persona.decoder import Decoder, DensePart, KernelPart
from persona.edit import Array
from persona.jump import JumpSpec
from persona.sketch import SketchSpec, TapSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec

SPEC = ModelSpec(
    (
        LayerSpec("norm", "norm", (TensorSpec("norm.scale", (3,), 0.5),)),
        LayerSpec("head", "linear", (TensorSpec("head.weight", (2, 3), 2.0), TensorSpec("head.bias", (2,), 0.25))),
    )
)


def floats(*values: object) -> Array:
    """Return a float32 array of what is given, nested as it is."""
    return np.array(values, np.float32)


def tiny_weights() -> dict[str, Array]:
    """Return base weights: the head tells the first input from the second."""
    return {
        "norm.scale": floats(1, 1, 1),
        "head.weight": floats([1, 0, 0], [0, 1, 0]),
        "head.bias": floats(0, 0),
    }


def tiny_decoder() -> Decoder:
    """Return a decoder of dense parts, and of one kernel of rank 1: U = z (2 rows), V = (1, 2, 3)."""
    return Decoder(
        SPEC,
        {
            "norm.scale": DensePart(floats([1, 0, 0], [0, 1, 0]), floats(0, 0, 0.125)),
            "head.weight": KernelPart(
                floats([1, 0], [0, 1]), floats(0, 0), np.zeros((2, 3), np.float32), floats(1, 2, 3), 1
            ),
            "head.bias": DensePart(floats([1, 0], [0, 1]), floats(0, 0)),
        },
        (2, 2),
    )


def tiny_bank() -> Bank:
    """Return two prototypes, c and −c; the map copies the first four of eight features."""
    codes = floats([[1, -1], [-1, 1]], [[-1, 1], [1, -1]])
    return Bank(codes, np.array([5, 3]), np.eye(8, 4, dtype=np.float32), np.zeros(4, np.float32), 7)


def tiny_sketch() -> SketchSpec:
    """Return one tap of the three inputs, mean and mean square, and the histogram of two classes."""
    return SketchSpec((TapSpec("input", 3),), 2, floats(0, 0, 0, 0, 0, 0, 0.5, 0.5), np.full(8, 0.5, np.float32))


def tiny_bundle(graph: bytes = b"not a graph, for tests that never run it") -> Bundle:
    """Return all of it together."""
    return Bundle(
        graph=graph,
        weights=tiny_weights(),
        decoder=tiny_decoder(),
        bank=tiny_bank(),
        sketch=tiny_sketch(),
        jump=JumpSpec(np.full(6, 0.25, np.float32), 2.5, 16),
        input_shape=(3,),
        support=(4, 16),
        about={"task": "tiny", "classes": ["left", "right"]},
    )
