"""A narrow MobileNetV3-small for pictures of about 64 pixels a side, with batch normalisation.

Source: Howard et al., "Searching for MobileNetV3", ICCV 2019: table 2 (the small net) and section 5.2 (hard swish,
squeeze and excite). Ours halves the picture four times rather than five, for pictures of 64 pixels instead of 224, and
leaves out the wide layer before the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

STEM, LAST = 16, 576  # channels at width 1
NARROW = 0.6
MULTIPLE = 8  # of which every width is one
SHARE = 4  # a squeeze has a fourth of the channels


@dataclass(frozen=True)
class _Block:
    """A row of table 2: kernel, expanded channels, channels out, whether it squeezes, whether hard swish, stride."""

    kernel: int
    expanded: int
    out: int
    squeezes: bool
    swish: bool
    stride: int


_BLOCKS = (
    _Block(3, 16, 16, True, False, 2),
    _Block(3, 72, 24, False, False, 2),
    _Block(3, 88, 24, False, False, 1),
    _Block(5, 96, 40, True, True, 2),
    _Block(5, 240, 40, True, True, 1),
    _Block(5, 240, 40, True, True, 1),
    _Block(5, 120, 48, True, True, 1),
    _Block(5, 144, 48, True, True, 1),
    _Block(5, 288, 96, True, True, 1),
    _Block(5, 576, 96, True, True, 1),
    _Block(5, 576, 96, True, True, 1),
)


class MobileNetV3Small(nn.Module):
    """A stem, eleven inverted residuals, a last 1 × 1 convolution, the mean over the picture and a head.

    Block i has `expand{i}`, `depth{i}`, `project{i}` with the norms `norm{i}a`, `norm{i}b`, `norm{i}c`, and where it
    squeezes `squeeze{i}` and `excite{i}`; stem and last convolution have `norm0` and `norm12`. Weights lie channels
    last.

    Input (N, channels, H, W) in [0, 1]; output logits (N, classes). `width` multiplies all widths but input and output.
    """

    def __init__(self, classes: int = 7, channels: int = 3, width: float = NARROW) -> None:
        super().__init__()
        wide = _wide(STEM, width)
        self.stem = nn.Conv2d(channels, wide, 3, stride=2, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(wide)
        for number, block in enumerate(_BLOCKS, start=1):
            self._add_block(number, block, wide, width)
            wide = _wide(block.out, width)
        last = _wide(LAST, width)
        self.last = nn.Conv2d(wide, last, 1, bias=False)
        self.norm12 = nn.BatchNorm2d(last)
        self.relu, self.swish, self.gate = nn.ReLU(), nn.Hardswish(), nn.Hardsigmoid()
        self.head = nn.Linear(last, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this use

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Return logits (N, classes)."""
        x = self.swish(self.norm0(self.stem(x)))  # (N, 16 w, H/2, W/2)
        for number, block in enumerate(_BLOCKS, start=1):
            x = self._block(number, block, x)
        x = self.swish(self.norm12(self.last(x)))  # (N, 576 w, H/16, W/16)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits

    def _add_block(self, number: int, block: _Block, wide: int, width: float) -> None:
        """Register a block that takes `wide` channels, in the order of its forward pass."""
        inner, out, kernel = _wide(block.expanded, width), _wide(block.out, width), block.kernel
        self.add_module(f"expand{number}", nn.Conv2d(wide, inner, 1, bias=False))
        self.add_module(f"norm{number}a", nn.BatchNorm2d(inner))
        depth = nn.Conv2d(inner, inner, kernel, block.stride, padding=kernel // 2, groups=inner, bias=False)
        self.add_module(f"depth{number}", depth)
        self.add_module(f"norm{number}b", nn.BatchNorm2d(inner))
        if block.squeezes:
            few = _wide(inner, 1 / SHARE)
            self.add_module(f"squeeze{number}", nn.Conv2d(inner, few, 1))
            self.add_module(f"excite{number}", nn.Conv2d(few, inner, 1))
        self.add_module(f"project{number}", nn.Conv2d(inner, out, 1, bias=False))
        self.add_module(f"norm{number}c", nn.BatchNorm2d(out))

    def _block(self, number: int, block: _Block, x: Tensor) -> Tensor:
        """Expand, filter each channel apart, weigh channels, project; added to the input where that fits."""
        act = self.swish if block.swish else self.relu
        inner = act(self._call("norm", number, self._call("expand", number, x), "a"))
        inner = act(self._call("norm", number, self._call("depth", number, inner), "b"))
        if block.squeezes:
            mean = inner.mean(dim=(2, 3), keepdim=True)
            weights = self._call("excite", number, self.relu(self._call("squeeze", number, mean)))
            inner = inner * self.gate(weights)
        out = self._call("norm", number, self._call("project", number, inner), "c")
        return x + out if x.shape == out.shape else out

    def _call(self, kind: str, number: int, x: Tensor, suffix: str = "") -> Tensor:
        found: Tensor = getattr(self, f"{kind}{number}{suffix}")(x)
        return found


def mobilenet_v3_small(classes: int = 7, channels: int = 3) -> MobileNetV3Small:
    """Return the net at 0.6 of the paper's width: about 357,000 parameters."""
    return MobileNetV3Small(classes, channels)


def _wide(channels: int, width: float) -> int:
    """A width, rounded to a multiple of 8 that is at least 8."""
    return max(MULTIPLE, int(channels * width / MULTIPLE + 0.5) * MULTIPLE)
