"""SAR: entropy is minimised on reliable samples, towards flat minima, and collapse is undone.

Niu et al., "Towards Stable Test-Time Adaptation in Dynamic Wild World", ICLR 2023. The paper leaves the
norms of a deep net's last stage alone; the small nets here have no such stage, and all of theirs are learned.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.descent import entropy, gradient, learn_only, take_step
from persona.baselines.norms import affine_parameters
from persona.baselines.settings import check_range
from persona.baselines.windowed import WindowedNet

FORGETTING = 0.1  # of the average loss
THRESHOLD = 0.4  # of the greatest entropy, above which a sample is not reliable


class Sar:
    """One sharpness-aware step of SGD with momentum 0.9 a window; the source's parameters return upon collapse.

    The gradient is taken at θ + radius · g/‖g‖, g the gradient at θ (the first-order step of SAM), both on
    samples whose entropy is below 0.4 · ln K there. Once the running mean of the loss falls below `collapse` (nats),
    all is as at the start. Published: rate 0.00025 for windows of 64, radius 0.05, collapse 0.2, for a thousand
    classes. The seed decides nothing. SpecError where no norm has parameters, or a setting is out of range.
    """

    GRID: ClassVar[Grid] = {"rate": (0.00025, 0.002, 0.01), "collapse": (0.2, 0.05)}

    def __init__(
        self, model: nn.Module, seed: int, *, rate: float = 0.00025, collapse: float = 0.2, radius: float = 0.05
    ) -> None:
        for name, value in (("rate", rate), ("collapse", collapse), ("radius", radius)):
            check_range(f"{name} of SAR", value)
        self._net = WindowedNet(model)
        self._learned = affine_parameters(self._net.net)
        learn_only(self._net.net, self._learned)
        self._source = [parameter.detach().clone() for parameter in self._learned]
        self._optimizer = torch.optim.SGD(self._learned, lr=rate, momentum=0.9)
        self._collapse, self._radius = collapse, radius
        self._average: float | None = None

    @torch.enable_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K), then learn. DataError for a bad window, from which nothing is learned."""
        logits = self._net.look(x)
        each = entropy(logits)
        reliable = each < THRESHOLD * math.log(logits.shape[1])
        if bool(reliable.any()):
            first = gradient(each[reliable].mean(), self._learned)
            if first is not None:
                self._learn(x, reliable, first)
        return logits.detach()

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the last window's statistics. DataError for a bad window."""
        return self._net.answer(x)

    def _learn(self, x: Tensor, reliable: Tensor, first: list[Tensor]) -> None:
        here = [parameter.detach().clone() for parameter in self._learned]
        length = torch.stack([g.norm() for g in first]).norm() + 1e-12
        self._put([value + self._radius * g / length for value, g in zip(here, first, strict=True)])
        logits = self._net.peek(x)
        each = entropy(logits)[reliable]
        still = each[each < THRESHOLD * math.log(logits.shape[1])]
        loss = still.mean() if len(still) else None
        second = None if loss is None else gradient(loss, self._learned)
        self._put(here)
        if loss is not None and second is not None:
            take_step(self._optimizer, second, self._learned)
            self._recover(loss.item())

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self._learned, values, strict=True):
            parameter.copy_(value)

    def _recover(self, loss: float) -> None:
        before = loss if self._average is None else self._average
        self._average = (1 - FORGETTING) * before + FORGETTING * loss
        if self._average < self._collapse:
            self._put(self._source)
            self._optimizer.state.clear()
            self._average = None
