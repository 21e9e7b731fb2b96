"""Cloud distillation of normalisation parameters, in the manner of CEMA (Chen et al., ICLR 2024).

The device sends the samples that are neither hopeless nor already certain (section 3.2); in the cloud a larger net
adapts to them by entropy, and the device's normalisation parameters are distilled from it, with a replay buffer
(section 3.3). Where we differ: the upper bound of entropy stays where it starts, and both nets use Adam.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.baselines.base import Grid
from persona.baselines.descent import descend, entropy, learn_only
from persona.baselines.norms import affine_parameters
from persona.baselines.windowed import WindowedNet
from persona.errors import SpecError


@dataclass(frozen=True)
class CemaSettings:
    """What tuning may set. SpecError where a number is out of range.

    `rate` of Adam for both nets; `upper` is the share of the greatest entropy above which a sample is hopeless, `lower`
    that below which it is not worth sending; `replay` samples are kept, and as many as arrive are drawn again with each
    step; `alpha` is the source's share of the statistics of batch normalisation, in both nets.
    """

    rate: float = 1e-3
    upper: float = 0.4
    lower: float = 0.02
    replay: int = 256
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 0 <= self.lower < self.upper <= 1 and self.replay >= 0 and 0 <= self.alpha <= 1):
            raise SpecError(f"{self} is out of range: rate > 0, 0 ≤ lower < upper ≤ 1, replay ≥ 0, alpha in [0, 1]")


class Cema:
    """One device and its part of the cloud. `teacher` is the larger trained net; both nets given stay as they are.

    Settings are those of `CemaSettings`, by name. SpecError where a net has no norm with parameters.
    """

    GRID: ClassVar[Grid] = {"rate": (1e-3, 3e-4, 3e-3), "alpha": (0.0, 0.7)}

    def __init__(self, model: nn.Module, teacher: nn.Module, seed: int, **settings: Any) -> None:
        self._settings = CemaSettings(**settings)
        self._student, self._teacher = (WindowedNet(net, 1 - self._settings.alpha) for net in (model, teacher))
        self._learned = [affine_parameters(net.net) for net in (self._student, self._teacher)]
        for net, learned in zip((self._student, self._teacher), self._learned, strict=True):
            learn_only(net.net, learned)
        self._optimizers = [torch.optim.Adam(learned, lr=self._settings.rate) for learned in self._learned]
        self._replay: deque[Tensor] = deque(maxlen=self._settings.replay)
        self._dice = torch.Generator().manual_seed(seed)

    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K), then let the cloud learn from the samples worth sending. DataError for a bad window."""
        with torch.no_grad():
            logits = self._student.look(x)
        sent = x[self.is_worth_sending(logits)]
        if len(sent):
            with torch.enable_grad():
                self._adapt_teacher(sent)
                self._distil(sent)
        return logits

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) with the parameters that came down last. DataError for a bad window."""
        return self._student.answer(x)

    def is_worth_sending(self, logits: Tensor) -> Tensor:
        """Return which samples' entropy lies between the bounds (N,), for logits (N, K)."""
        greatest = torch.log(torch.tensor(float(logits.shape[1])))
        share = entropy(logits) / greatest
        return (share < self._settings.upper) & (share > self._settings.lower)

    def _adapt_teacher(self, x: Tensor) -> None:
        descend(self._optimizers[1], entropy(self._teacher.peek(x)).mean(), self._learned[1])

    def _distil(self, sent: Tensor) -> None:
        batch = torch.cat([sent, *self._drawn(len(sent))])
        self._replay.extend(sent)
        with torch.no_grad():
            target = self._teacher.peek(batch)
        logits = self._student.peek(batch)
        soft = F.kl_div(logits.log_softmax(1), target.softmax(1), reduction="batchmean")
        hard = F.cross_entropy(logits, target.argmax(1))
        descend(self._optimizers[0], soft + hard, self._learned[0])

    def _drawn(self, count: int) -> list[Tensor]:
        """Return samples of the replay, at most `count`, each (1, C, H, W)."""
        chosen = torch.randperm(len(self._replay), generator=self._dice)[:count]
        return [self._replay[int(i)].unsqueeze(0) for i in chosen]
