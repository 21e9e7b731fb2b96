"""CoTTA: learn from a slow teacher's averaged looks, and give weights back to the source at random.

Wang et al., "Continual Test-Time Domain Adaptation", CVPR 2022, section 3: weight-averaged and
augmentation-averaged pseudo-labels, stochastic restoration. Looks are averaged as probabilities.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.augment import augment
from persona.baselines.base import Grid
from persona.baselines.descent import cross_entropy, descend, follow, learn_only
from persona.baselines.settings import check_range
from persona.baselines.windowed import WindowedNet

CONFIDENT = 0.92  # mean confidence of the source net above which the teacher's plain look will do, as for CIFAR-10
SOURCE_SHARE = 0.01  # the published chance of a weight to be given back


class Cotta:
    """One Adam step of rate `rate` on all weights a window; the teacher's answer, from before the step, counts.

    `momentum` is the teacher's share of itself, `augmentations` the looks that are averaged (32 are published),
    `restore` the chance in [0, 1] that a weight goes back to the source. The seed decides looks and restoration.
    SpecError where a setting is out of range.
    """

    # Streams of a dozen windows are over before a teacher of 0.999 has moved.
    GRID: ClassVar[Grid] = {"rate": (1e-3, 1e-4), "momentum": (0.999, 0.99, 0.9)}

    def __init__(
        self, model: nn.Module, seed: int, *, rate: float = 1e-3, momentum: float = 0.999, augmentations: int = 8,
        restore: float = SOURCE_SHARE,
    ) -> None:  # fmt: skip
        for name, value in (("rate", rate), ("augmentations", augmentations)):
            check_range(f"{name} of CoTTA", value)
        for name, value in (("momentum", momentum), ("restore", restore)):
            check_range(f"{name} of CoTTA", value, high=1)
        self._student, self._teacher, self._anchor = (WindowedNet(model) for _ in range(3))
        self._learned, self._slow, self._source = (
            list(net.net.parameters()) for net in (self._student, self._teacher, self._anchor)
        )
        learn_only(self._student.net, self._learned)
        self._optimizer = torch.optim.Adam(self._learned, lr=rate)
        self._momentum, self._augmentations, self._restore = momentum, augmentations, restore
        self._dice = torch.Generator().manual_seed(seed)

    @torch.enable_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer log-probabilities (N, K), then learn. DataError for a bad window, from which nothing is learned."""
        target = self._look(x)
        loss = cross_entropy(target.exp(), self._student.peek(x)).mean()
        descend(self._optimizer, loss, self._learned)
        follow(self._slow, self._learned, 1 - self._momentum)
        self._give_back()
        return target

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) by the teacher under the last window's statistics. DataError for a bad window."""
        return self._teacher.answer(x)

    @torch.no_grad()
    def _look(self, x: Tensor) -> Tensor:
        plain = self._teacher.look(x).log_softmax(1)
        sure = self._anchor.peek(x).softmax(1).amax(dim=1).mean()
        if sure >= CONFIDENT or self._augmentations == 0:
            return plain
        looks = [self._teacher.peek(augment(x, self._dice)).log_softmax(1) for _ in range(self._augmentations)]
        return torch.stack(looks).logsumexp(dim=0) - math.log(len(looks))  # the logarithm of the mean probability

    @torch.no_grad()
    def _give_back(self) -> None:
        if self._restore == 0:
            return
        for weight, source in zip(self._learned, self._source, strict=True):
            back = torch.rand(weight.shape, generator=self._dice) < self._restore
            weight.copy_(torch.where(back, source, weight))
