"""BN adaptation: every window is normalised by its own statistics (Nado et al., 2020; Schneider et al., NeurIPS 2020).

The case of Schneider et al. with the source's share N = 0: none of the source's statistics is left.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.windowed import WindowedNet


class Bn:
    """The net under each window's statistics; between windows, under those of the last one.

    It has no setting, and its seed decides nothing. SpecError where the net has no batch normalisation.
    """

    GRID: ClassVar[Grid] = {}

    def __init__(self, model: nn.Module, seed: int) -> None:
        self._net = WindowedNet(model)
        self._net.require_batch_norm("BN adaptation")

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the window's own statistics, and keep them. DataError for a bad window."""
        return self._net.look(x)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the last window's statistics. DataError for a bad window."""
        return self._net.answer(x)
