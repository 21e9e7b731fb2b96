"""RoTTA: statistics that move slowly, a balanced memory, and a teacher (Yuan et al., CVPR 2023, section 3).

Its three parts: robust batch normalisation, category-balanced sampling with timeliness and uncertainty (CSTU), and
robust training with timeliness, by the cross-entropy of a strongly changed look to the teacher's plain one. A net
without batch normalisation has no statistics to move; the rest holds.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.augment import augment
from persona.baselines.base import Grid
from persona.baselines.descent import cross_entropy, descend, entropy, follow, learn_only
from persona.baselines.memory import Memory
from persona.baselines.norms import affine_parameters
from persona.baselines.settings import check_range
from persona.baselines.windowed import WindowedNet

CAPACITY = 64  # samples in memory
TEACHER_SHARE = 0.001  # of the student, which the teacher takes on with each update


class Rotta:
    """The teacher answers under its slow statistics; after every `every` samples both nets learn from the memory.

    `share` in (0, 1] is the memory's share of the statistics at each update, `rate` Adam's on the norms' parameters.
    Published: every 64 samples, share 0.05, rate 1e-3; a memory of 64 samples, a teacher of 0.001. The seed decides
    the looks. SpecError where no norm has parameters, or a setting is out of range.
    """

    # Streams of a dozen windows of 32 have six updates of the published kind.
    GRID: ClassVar[Grid] = {"every": (64, 32), "share": (0.05, 0.2, 0.5)}

    def __init__(
        self, model: nn.Module, seed: int, *, every: int = 64, share: float = 0.05, rate: float = 1e-3
    ) -> None:
        check_range("rate of RoTTA", rate)
        check_range("every of RoTTA", every, low=1)
        check_range("share of RoTTA", share, high=1)
        self._student, self._teacher = (WindowedNet(model, share, running=True) for _ in range(2))
        self._learned, self._slow = (affine_parameters(net.net) for net in (self._student, self._teacher))
        learn_only(self._student.net, self._learned)
        learn_only(self._teacher.net, [])
        self._optimizer = torch.optim.Adam(self._learned, lr=rate)
        self._dice = torch.Generator().manual_seed(seed)
        self._memory: Memory | None = None
        self._every, self._since = every, 0

    @torch.enable_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K), remember, and learn when it is time. DataError for a bad window, which leaves no trace."""
        logits = self.answer(x)
        if self._memory is None:
            self._memory = Memory(CAPACITY, logits.shape[1])
        self._memory.check(x)
        labels, uncertainties = logits.argmax(1).tolist(), entropy(logits).tolist()
        for sample, label, uncertainty in zip(x.detach().clone(), labels, uncertainties, strict=True):
            self._memory.add(sample, label, uncertainty)
            self._since += 1
            if self._since == self._every:
                self._since = 0
                self._learn(self._memory)
        return logits

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) by the teacher under the statistics it has. DataError for a bad window."""
        return self._teacher.answer(x)

    def _learn(self, memory: Memory) -> None:
        x, weights = memory.samples()
        with torch.no_grad():
            target = self._teacher.look(x).softmax(1)
        logits = self._student.look(augment(x, self._dice))
        descend(self._optimizer, (weights * cross_entropy(target, logits)).mean(), self._learned)
        follow(self._slow, self._learned, TEACHER_SHARE)
