"""The tether: how far an honest answer lies from what a device works out by itself (method, "Tether").

A device has a linear map from its sketch to a code. It is coarser than the adapter, but nobody can lie through it. So
an answer is held against it: windows that export draws anew say how far an honest code lies, under the decoder's Gram
metric, and how many answers it changes. What lies farther is a fault, a mix-up or a lie; what lies nearer can cost no
more accuracy than the share of answers that it is allowed to change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from persona.edit import Array
from persona.errors import SpecError

# The share of honest windows within what is usual, and within what is accepted at most.
USUAL, MOST = 0.75, 0.99
_WITHOUT_DEFAULT = -1
# The room between usual and most is no less than this share of the latter, lest a hair's breadth be a scandal.
_NARROWEST = 0.1


@dataclass(frozen=True)
class Limits:
    """What a share of the windows that export draws stays within: distances under the metric, and shares of answers.

    `code`, `prototype`: of an answer's code, or of a bare prototype, from the map's code of the same window;
    `next_code`, `next_prototype`: from that of another window of the same device. `flips`: answers that differ from
    those under the device's own prototype. `change`: answers that differ from the base model's.
    """

    code: float
    prototype: float
    next_code: float
    next_prototype: float
    flips: float
    change: float

    def __post_init__(self) -> None:
        """SpecError where a limit is not positive and finite, or a share is above 1."""
        values = _values(self)
        if not all(math.isfinite(v) and v > 0 for v in values) or max(self.flips, self.change) > 1:
            raise SpecError(f"a tether has limits {values}; wanted positive numbers, the last two 1 at most")


@dataclass(frozen=True, eq=False)
class Tether:
    """`metric` (n·d, n·d): a factor L of the distance ``‖(c − c') L‖`` between codes.

    `usual` holds for three windows of four, `most` for 99 of 100: beyond that an answer is refused, and one that keeps
    to the room between the two, answer after answer, is a liar who knows the limit.

    `default` the prototype that is better than the base model over all these windows alike, None where none is.
    """

    metric: Array
    usual: Limits
    most: Limits
    default: int | None = None

    def __post_init__(self) -> None:
        """SpecError where the metric is no square of finite numbers, or the numbers make no sense."""
        width = len(self.metric)
        if self.metric.shape != (width, width) or not width or not np.isfinite(self.metric).all():
            raise SpecError(f"a tether's metric has shape {self.metric.shape}; wanted a square, all finite")
        if any(high < low for low, high in zip(_values(self.usual), _values(self.most), strict=True)):
            raise SpecError(f"a tether has {self.most} at most, and usually more: {self.usual}; export it anew")
        if self.default is not None and self.default < 0:
            raise SpecError(f"a tether's default is prototype {self.default}; wanted a number from 0, or None")

    def distance(self, one: npt.ArrayLike, other: npt.ArrayLike) -> float:
        """Return how far two codes of n·d entries lie apart."""
        beyond = np.asarray(one, np.float64).reshape(-1) - np.asarray(other, np.float64).reshape(-1)
        return float(np.linalg.norm(beyond @ self.metric.astype(np.float64)))

    def strain(self, figure: str, value: float, slack: float = 1.0) -> float:
        """Return where a figure of `Limits` lies: 0 at what is usual, 1 at the most, −1 at least, any number above.

        `slack` stretches both limits, where fewer samples are behind the value than behind theirs.
        """
        low, high = slack * getattr(self.usual, figure), slack * getattr(self.most, figure)
        return max(float((value - low) / max(high - low, _NARROWEST * high)), -1.0)

    def to_arrays(self) -> dict[str, Array]:
        """Return metric and limits (2, 6), float32, and the default (1,), −1 for none."""
        default = _WITHOUT_DEFAULT if self.default is None else self.default
        limits = np.array([_values(self.usual), _values(self.most)], np.float32)
        return {"metric": self.metric, "limits": limits, "default": np.array([default], np.float32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Tether:
        """Read what `to_arrays` wrote; SpecError where arrays are missing or do not fit."""
        missing = {"metric", "limits", "default"} - arrays.keys()
        if missing:
            raise SpecError(f"a tether lacks the array {min(missing)!r}; wanted metric, limits and default")
        metric, limits, default = (np.asarray(arrays[name], np.float32) for name in ("metric", "limits", "default"))
        wanted = (2, len(fields(Limits)))
        if metric.ndim != 2 or limits.shape != wanted or default.shape != (1,) or not float(default[0]).is_integer():
            raise SpecError(
                f"a tether has a metric {metric.shape}, limits {limits.shape} and default {default}; wanted two axes, "
                f"{wanted}, and one whole number"
            )
        usual, most = (Limits(*map(float, row)) for row in limits)
        number = int(default[0])
        return cls(metric, usual, most, None if number == _WITHOUT_DEFAULT else number)


def _values(limits: Limits) -> list[float]:
    return [float(getattr(limits, field.name)) for field in fields(limits)]
