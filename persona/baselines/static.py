"""The net as it is: the row that every other row is held against."""

from __future__ import annotations

import copy
from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.windows import check_window, input_channels


class Static:
    """A copy of the net, which never changes. It has no setting, and its seed decides nothing."""

    GRID: ClassVar[Grid] = {}

    def __init__(self, model: nn.Module, seed: int) -> None:
        self._net = copy.deepcopy(model).eval()
        self._channels = input_channels(self._net)

    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K). DataError for a bad window."""
        return self.answer(x)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K). DataError for a bad window."""
        check_window(x, self._channels)
        logits: Tensor = self._net(x)
        return logits
