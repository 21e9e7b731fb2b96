"""TENT: entropy is minimised on the scales and shifts of the normalisation (Wang et al., ICLR 2021, section 3)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.descent import descend, entropy, learn_only
from persona.baselines.norms import affine_parameters
from persona.baselines.settings import check_range
from persona.baselines.windowed import WindowedNet


class Tent:
    """One Adam step of rate `rate` down the mean entropy of each window, under the window's statistics.

    The published rate with Adam is 1e-3. The seed decides nothing. SpecError where no norm has parameters, or
    the rate is out of range.
    """

    GRID: ClassVar[Grid] = {"rate": (1e-3, 3e-4, 3e-3, 1e-2)}

    def __init__(self, model: nn.Module, seed: int, *, rate: float = 1e-3) -> None:
        check_range("rate of TENT", rate)
        self._net = WindowedNet(model)
        self._learned = affine_parameters(self._net.net)
        learn_only(self._net.net, self._learned)
        self._optimizer = torch.optim.Adam(self._learned, lr=rate)

    @torch.enable_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K), then learn. DataError for a bad window, from which nothing is learned."""
        logits = self._net.look(x)
        descend(self._optimizer, entropy(logits).mean(), self._learned)
        return logits.detach()

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the last window's statistics. DataError for a bad window."""
        return self._net.answer(x)
