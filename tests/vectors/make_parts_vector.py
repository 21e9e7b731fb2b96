"""Write the golden bundle with renormalisation, gate and prior term: ``python -m tests.vectors.make_parts_vector``.

Run once, and committed with its output, which is never written again: that every later release still reads it is what
it is for. The expected values are worked out below by plain arithmetic, not by the package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from persona.bundle import Bundle
from persona.files import write_together
from tests.tiny_parts import EPSILON, FULL, NONE, STRENGTH, parts_bundle

FOLDER = Path(__file__).parent
X = [[1.0, 2.0, -1.0], [2.5, -1.0, -0.5], [0.5, 1.5, -2.0]]
CODE = [0.5, -0.125]
MEAN, VARIANCE = (1.0, 0.0, -1.0), (4.0, 1.0, 0.25)
SCALE, SHIFT = (1.0, 2.0, 0.5), (0.5, 0.0, -1.0)
HEAD, BIAS = ((1.0, 0.0, 0.5), (0.0, 1.0, -0.5)), (0.0, 0.25)
BOUND = 0.25  # of the head's bias
MORE_SCALE, MORE_SHIFT = (0.5, -0.25, 0.125), (-0.25, 0.5, 0.0)  # learned deltas, other than those of the code

Rows = list[list[float]]


def mean_of(values: list[float]) -> float:
    return sum(values) / len(values)


def statistics() -> tuple[list[float], list[float]]:
    """Return mean and variance of each input over X."""
    columns = [list(column) for column in zip(*X, strict=True)]
    means = [mean_of(column) for column in columns]
    squares = [mean_of([value**2 for value in column]) for column in columns]
    return means, [square - mean**2 for square, mean in zip(squares, means, strict=True)]


def logits_of(bias: list[float], stretch: list[float], shift: list[float]) -> Rows:
    """Return the logits of X with deltas of the head's bias and of the normalisation's scale and shift."""
    rows = []
    for x in X:
        h = [
            (x[i] - MEAN[i]) / math.sqrt(VARIANCE[i] + EPSILON) * (SCALE[i] + stretch[i]) + SHIFT[i] + shift[i]
            for i in range(3)
        ]
        rows.append([sum(h[i] * HEAD[c][i] for i in range(3)) + BIAS[c] + bias[c] for c in range(2)])
    return rows


def probabilities_of(logits: Rows) -> Rows:
    return [[math.exp(z) / sum(map(math.exp, row)) for z in row] for row in logits]


def features() -> list[float]:
    """Return the sketch features of X under the base weights."""
    means, variances = statistics()
    shares = probabilities_of(logits_of([0, 0], [0, 0, 0], [0, 0, 0]))
    return [*means, *(math.log(v + 1e-4) for v in variances), *(mean_of([row[c] for row in shares]) for c in (0, 1))]


def gate_weight() -> float:
    """Return how much of a learned edit holds: one direction is known, the first feature's."""
    first, *others = features()
    distance = max(abs(first), math.sqrt(sum(value**2 for value in others)))
    return min(max((NONE - distance) / (NONE - FULL), 0), 1)


def settled_deltas(
    more_scale: Sequence[float] = (0, 0, 0), more_shift: Sequence[float] = (0, 0, 0)
) -> tuple[list[float], list[float]]:
    """Return deltas of scale and shift that hold learned ones and, by halves, statistics of X and of training.

    The layer is the first one, so that one pass under any weights gives its statistics.
    """
    means, variances = statistics()
    stretch, shift = [], []
    for i in range(3):
        mixed = STRENGTH * variances[i] + (1 - STRENGTH) * VARIANCE[i] + EPSILON
        ratio = math.sqrt((VARIANCE[i] + EPSILON) / mixed)
        scale = SCALE[i] + more_scale[i]
        stretch.append(scale * ratio - SCALE[i])
        shift.append(more_shift[i] + scale * STRENGTH * (MEAN[i] - means[i]) / math.sqrt(mixed))
    return stretch, shift


def prior_bias(logits: Rows) -> list[float]:
    """Return the bias of a device whose first window these logits are."""
    shares = [0.5, 0.5]
    for _ in range(8):
        joint = [[p * s for p, s in zip(row, shares, strict=True)] for row in probabilities_of(logits)]
        shares = [mean_of([row[c] / sum(row) for row in joint]) for c in (0, 1)]
    raised = [max(math.log(2 * max(share, 1e-3)), 0) for share in shares]
    return [value - mean_of(raised) for value in raised]


def main() -> None:
    """Write ``device-parts-1.persona`` and its JSON."""
    data = parts_bundle().to_bytes()
    weight, (stretch, shift) = gate_weight(), settled_deltas()
    settled = settled_deltas(MORE_SCALE, MORE_SHIFT)
    learned = [BOUND * math.tanh(value / BOUND) for value in CODE]
    logits = logits_of([weight * delta for delta in learned], stretch, shift)
    expected = {
        "about": "Worked out by make_parts_vector.py; numbers hold to 1e-5.",
        "fingerprint": Bundle.from_bytes(data).fingerprint,
        "size_bytes": len(data),
        "x": X,
        "code": [CODE],
        "features": features(),
        "gate_weight": weight,
        "local": {"norm.weight": stretch, "norm.bias": shift},
        "learned": {"norm.weight": MORE_SCALE, "norm.bias": MORE_SHIFT},
        "settled": {"norm.weight": settled[0], "norm.bias": settled[1]},
        "logits": logits,
        "prior_bias": prior_bias(logits),
    }
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items())
    write_together(
        {
            FOLDER / "device-parts-1.persona": data,
            FOLDER / "device-parts-1.json": f"{{\n{lines}\n}}\n".encode(),
        }
    )


if __name__ == "__main__":
    main()
