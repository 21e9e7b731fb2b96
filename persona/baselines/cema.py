"""Cloud distillation of normalisation parameters, in the manner of CEMA (Chen et al., ICLR 2024).

The device sends the samples that are neither hopeless nor already certain; in the cloud a larger net adapts to them by
entropy, and the device's normalisation parameters are distilled from it (sections 3.2 and 3.3), with a replay buffer.
"""

from __future__ import annotations

import copy
from collections import deque

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.baselines.norms import affine_parameters
from persona.errors import DataError


class Cema:
    """One device and its part of the cloud. `teacher` is the larger trained net; both nets given stay as they are.

    `upper` is the share of the greatest entropy above which a sample is hopeless, `lower` that below which it is not
    worth sending; `replay` samples are kept, and as many as arrive are drawn again with each step.
    """

    def __init__(
        self, model: nn.Module, teacher: nn.Module, seed: int, *, rate: float = 1e-3, upper: float = 0.4,
        lower: float = 0.02, replay: int = 256,
    ) -> None:  # fmt: skip
        self._student, self._teacher = copy.deepcopy(model).eval(), copy.deepcopy(teacher).eval()
        self._upper, self._lower = upper, lower
        self._learning = [_only_norms(net) for net in (self._student, self._teacher)]
        self._optimizers = [torch.optim.Adam(parameters, lr=rate) for parameters in self._learning]
        self._replay: deque[Tensor] = deque(maxlen=replay)
        self._dice = torch.Generator().manual_seed(seed)

    def step(self, x: Tensor) -> Tensor:
        """Answer (N, C), then let the cloud learn from the samples worth sending."""
        logits = self.answer(x)
        sent = x[self._worth_sending(logits)]
        if len(sent):
            self._adapt_teacher(sent)
            self._distil(sent)
        return logits

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, C) with the parameters that came down last."""
        if not torch.isfinite(x).all():
            raise DataError("a window has values that are not finite; leave those samples out")
        logits: Tensor = self._student(x)
        return logits

    def _worth_sending(self, logits: Tensor) -> Tensor:
        greatest = torch.log(torch.tensor(float(logits.shape[1])))
        share = _entropy(logits) / greatest
        return (share < self._upper) & (share > self._lower)

    def _adapt_teacher(self, x: Tensor) -> None:
        _descend(_entropy(self._teacher(x)).mean(), self._optimizers[1], self._learning[1])

    def _distil(self, sent: Tensor) -> None:
        drawn = list(self._replay)
        if drawn:
            chosen = torch.randperm(len(drawn), generator=self._dice)[: len(sent)]
            batch = torch.cat([sent, torch.stack([drawn[int(i)] for i in chosen])])
        else:
            batch = sent
        self._replay.extend(sent)
        with torch.no_grad():
            target = self._teacher(batch)
        logits = self._student(batch)
        soft = F.kl_div(logits.log_softmax(1), target.softmax(1), reduction="batchmean")
        hard = F.cross_entropy(logits, target.argmax(1))
        _descend(soft + hard, self._optimizers[0], self._learning[0])


def _only_norms(net: nn.Module) -> list[nn.Parameter]:
    learned = affine_parameters(net)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    for parameter in learned:
        parameter.requires_grad_(True)
    return learned


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
    optimizer.zero_grad()
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()


def _entropy(logits: Tensor) -> Tensor:
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)
