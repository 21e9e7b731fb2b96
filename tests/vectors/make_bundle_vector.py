"""Write the golden bundles of format 1 and what they must give: ``python -m tests.vectors.make_bundle_vector``.

Run once for a format, and committed with its output. The output of an old format is never written again: that every
later release still reads it is what it is for. The expected values are worked out below by plain arithmetic, not by the
package.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from persona.bundle import Bundle, CloudHalf
from persona.container import FORMAT
from persona.files import write_together
from tests.tiny_bundles import tiny_bundle

FOLDER = Path(__file__).parent
CODE = [[1.0, -1.0], [0.5, 0.25]]
ENCODER = b"opaque to the reader of a bundle"
X = [[1.0, 2.0, -1.0], [0.5, -3.0, 4.0]]


def tiny_graph() -> bytes:
    """Return h = x · norm.scale, logits = h headᵀ + bias, moments = [x, x²] as an ONNX model."""
    nodes = [
        helper.make_node("Mul", ["x", "norm.scale"], ["h"]),
        helper.make_node("Gemm", ["h", "head.weight", "head.bias"], ["logits"], transB=1),
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Concat", ["x", "square"], ["moments"], axis=1),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "x": ["N", 3],
        "norm.scale": [3],
        "head.weight": [2, 3],
        "head.bias": [2],
    }
    results: dict[str, list[str | int | None]] = {"logits": ["N", 2], "moments": ["N", 6]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in results.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def bounded(bound: float, value: float) -> float:
    """Return γ · tanh(value / γ)."""
    return bound * math.tanh(value / bound)


def edit_of(code: list[list[float]]) -> dict[str, Any]:
    """Return the deltas of a code: the first row is the scale's, the second the head's."""
    (a, b), (c, d) = code
    return {
        "norm.scale": [bounded(0.5, value) for value in (a, b, 0.125)],
        "head.weight": [[bounded(2.0, u * v) for v in (1, 2, 3)] for u in (c, d)],
        "head.bias": [bounded(0.25, value) for value in (c, d)],
    }


def logits_of(edit: dict[str, Any] | None) -> list[list[float]]:
    """Return the logits of X under the base weights plus an edit."""
    scale, weight, bias = [1.0] * 3, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [0.0, 0.0]
    if edit is not None:
        scale = [w + e for w, e in zip(scale, edit["norm.scale"], strict=True)]
        weight = [[w + e for w, e in zip(*rows, strict=True)] for rows in zip(weight, edit["head.weight"], strict=True)]
        bias = [w + e for w, e in zip(bias, edit["head.bias"], strict=True)]
    hidden = [[value * s for value, s in zip(row, scale, strict=True)] for row in X]
    return [
        [
            sum(h * w for h, w in zip(row, column, strict=True)) + shift
            for column, shift in zip(weight, bias, strict=True)
        ]
        for row in hidden
    ]


def features_of() -> list[float]:
    """Return the standardised features of a sketch of X under the base weights."""
    columns = list(zip(*X, strict=True))
    means = [sum(column) / len(X) for column in columns]
    squares = [sum(value**2 for value in column) / len(X) for column in columns]
    variances = [square - mean**2 for square, mean in zip(squares, means, strict=True)]
    shares = [[math.exp(z) / sum(map(math.exp, row)) for z in row] for row in logits_of(None)]
    classes = [sum(column) / len(X) for column in zip(*shares, strict=True)]
    raw = [*means, *(math.log(variance + 1e-4) for variance in variances), *(share - 0.5 for share in classes)]
    return [min(max(value / 0.5, -16.0), 16.0) for value in raw]


def main() -> None:
    """Write ``device-format-<format>.persona``, its JSON, and ``cloud-format-<format>.persona``."""
    bundle = tiny_bundle(tiny_graph())
    data = bundle.to_bytes()
    fingerprint = Bundle.from_bytes(data).fingerprint
    edit = edit_of(CODE)
    expected = {
        "about": "Worked out by make_bundle_vector.py; numbers hold to 1e-5.",
        "fingerprint": fingerprint,
        "size_bytes": len(data),
        "spec": bundle.spec.to_json(),
        "code": CODE,
        "edit": edit,
        "prototype": 0,  # the centres are c and −c, and the product of code and c is 1.75
        "bank_version": 7,
        "x": X,
        "logits_base": logits_of(None),
        "logits_edited": logits_of(edit),
        "moments": [[*row, *(value**2 for value in row)] for row in X],
        "features": features_of(),
        "input_shape": [3],
        "context": "sketch",
        "support": [4, 16],
        "jump": {"threshold": 2.5, "window": 16},
    }
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items())
    write_together(
        {
            FOLDER / f"device-format-{FORMAT}.persona": data,
            FOLDER / f"device-format-{FORMAT}.json": f"{{\n{lines}\n}}\n".encode(),
            FOLDER / f"cloud-format-{FORMAT}.persona": CloudHalf(ENCODER, fingerprint).to_bytes(),
        }
    )


if __name__ == "__main__":
    main()
