"""Labelled fine-tuning on the device: an oracle, for its labels and its backward passes are what the others lack."""

from __future__ import annotations

import copy
from collections import deque
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.baselines.base import Grid
from persona.baselines.descent import descend, learn_only
from persona.baselines.norms import affine_parameters
from persona.baselines.windows import check_window, input_channels
from persona.errors import DataError, SpecError

DECAY = 1e-4  # AdamW's weight decay


class FineTune:
    """One device, which is told the labels of each window after it answered for it.

    `reveal` takes `steps` AdamW steps at `rate` on the last `replay` windows together, all or the norms and the head
    (`scope` "all" or "norms+head"). Running statistics stay those of training. The seed is not used: nothing is drawn.
    SpecError for another scope, or where the scope names nothing that the net has.
    """

    GRID: ClassVar[Grid] = {"rate": (1e-3, 3e-3, 3e-4), "steps": (5,), "scope": ("all", "norms+head")}

    def __init__(
        self, model: nn.Module, seed: int, *, rate: float = 1e-3, steps: int = 5,
        scope: Literal["all", "norms+head"] = "all", replay: int = 4,
    ) -> None:  # fmt: skip
        self._net = copy.deepcopy(model).eval()
        self._start = copy.deepcopy(self._net.state_dict())
        self._channels = input_channels(self._net)
        self._learned = _learned(self._net, scope)
        self._rate, self._steps = rate, steps
        self._windows: deque[tuple[Tensor, Tensor]] = deque(maxlen=replay)
        self._optimizer = self._fresh_optimizer()

    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K) before the labels of the window are known. DataError for an unusable window."""
        return self.answer(x)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) with what earlier labels taught. DataError for an unusable window."""
        check_window(x, self._channels)
        logits: Tensor = self._net(x)
        return logits

    @torch.enable_grad()
    def reveal(self, x: Tensor, y: Tensor) -> None:
        """Learn from pictures (N, …) and labels (N,) of whole numbers below K.

        Where learning diverges, the device goes back to the net it was given. DataError where window or labels are
        unusable.
        """
        check_window(x, self._channels)
        if y.shape != (len(x),) or y.is_floating_point():
            raise DataError(f"labels are {y.dtype} of shape {tuple(y.shape)}; wanted whole numbers ({len(x)},)")
        self._windows.append((x, y.long()))
        pictures = torch.cat([window for window, _ in self._windows])
        labels = torch.cat([known for _, known in self._windows])
        for _ in range(self._steps):
            logits = self._net(pictures)
            if not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
                self._windows.pop()
                raise DataError(f"labels run from {int(y.min())} to {int(y.max())}; wanted 0 to {logits.shape[1] - 1}")
            loss = F.cross_entropy(logits, labels)
            if not torch.isfinite(loss):
                self._restart()
                return
            descend(self._optimizer, loss, self._learned)

    def _restart(self) -> None:
        self._net.load_state_dict(self._start)
        self._windows.clear()
        self._optimizer = self._fresh_optimizer()

    def _fresh_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self._learned, lr=self._rate, weight_decay=DECAY)


def _learned(net: nn.Module, scope: str) -> list[nn.Parameter]:
    if scope not in {"all", "norms+head"}:
        raise SpecError(f"fine-tuning's scope is {scope!r}; wanted 'all' or 'norms+head'")
    chosen = list(net.parameters())
    if scope == "norms+head":
        heads = [m for m in net.modules() if isinstance(m, nn.Linear)]
        chosen = [*affine_parameters(net), *(heads[-1].parameters() if heads else ())]
    if not chosen:
        raise SpecError(f"fine-tuning of {scope!r} found no parameters in this net; wanted one at least")
    learn_only(net, chosen)
    return chosen
