"""α-BN: source and window statistics mixed in a fixed proportion (You et al., 2021, "Test-time Batch Statistics
Calibration for Covariate Shift"): μ = α μ_source + (1 − α) μ_window, and the same for the variance.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.settings import check_range
from persona.baselines.windowed import WindowedNet


class AlphaBn:
    """The net under mixed statistics; `alpha` in [0, 1] is the source's share. The seed decides nothing.

    SpecError where the net has no batch normalisation, or alpha lies outside.
    """

    GRID: ClassVar[Grid] = {"alpha": (0.9, 0.7, 0.5, 0.3)}

    def __init__(self, model: nn.Module, seed: int, *, alpha: float = 0.9) -> None:
        check_range("alpha of α-BN", alpha, high=1)
        self._net = WindowedNet(model, 1 - alpha)
        self._net.require_batch_norm("α-BN")

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the window's mixed statistics, and keep them. DataError for a bad window."""
        return self._net.look(x)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the last window's mixed statistics. DataError for a bad window."""
        return self._net.answer(x)
