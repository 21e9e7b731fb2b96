"""Cheap random changes of small pictures, for peers that ask for the same answer under another look.

What CoTTA (Wang et al., CVPR 2022, section 3.2) brought in and RoTTA and ROID took over, made small: brightness and
contrast, turn, size and place, blur, noise. No mirror images: digits and letters have none. Colours shift together.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

LIGHT, TURN, SIZE, PLACE, NOISE = 0.2, math.radians(15), 0.1, 1 / 8, 0.01  # greatest change of each; noise as deviation


@torch.no_grad()
def augment(x: Float[Tensor, "n c h w"], dice: torch.Generator) -> Float[Tensor, "n c h w"]:
    """Return other looks of pictures, each changed by itself, within the window's own range of values.

    Brightness and noise are in shares of that range, place in shares of half a picture, turns in radians.
    """
    low, high = torch.aminmax(x)
    changed = _blur(_move(x, dice), dice)
    contrast, brightness = 1 + _spread(LIGHT, x, dice), _spread(LIGHT, x, dice) * (high - low)
    middle = changed.mean(dim=(1, 2, 3), keepdim=True)
    noise = torch.randn(x.shape, generator=dice, dtype=x.dtype) * (NOISE * (high - low))
    return ((changed - middle) * contrast + middle + brightness + noise).clamp(low, high)


def _move(x: Tensor, dice: torch.Generator) -> Tensor:
    turn, size = _spread(TURN, x, dice).flatten(), 1 + _spread(SIZE, x, dice).flatten()
    right, down = _spread(PLACE, x, dice).flatten(), _spread(PLACE, x, dice).flatten()
    cosine, sine = turn.cos() * size, turn.sin() * size
    maps = torch.stack([cosine, -sine, right, sine, cosine, down], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(maps, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _blur(x: Tensor, dice: torch.Generator) -> Tensor:
    strength = torch.rand(len(x), 1, 1, 1, generator=dice, dtype=x.dtype) / 2
    smooth = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return torch.lerp(x, smooth, strength)


def _spread(greatest: float, x: Tensor, dice: torch.Generator) -> Tensor:
    """Draw a number for each picture (N, 1, 1, 1), uniform from -greatest to greatest."""
    return (2 * torch.rand(len(x), 1, 1, 1, generator=dice, dtype=x.dtype) - 1) * greatest
