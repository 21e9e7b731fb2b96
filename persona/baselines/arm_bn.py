"""ARM-BN: a net trained with every window's own normalisation statistics (Zhang et al., NeurIPS 2021, section 4.2)."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.baselines.windows import check_window, input_channels
from persona.errors import SpecError


class ArmBn(nn.Module):
    """A copy of a net whose batch normalisation always uses the statistics of the window at hand.

    It is trained so, window by window, and so it predicts. SpecError where the net has no batch normalisation.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(model)
        norms = self._norms()
        if not norms:
            raise SpecError("ARM-BN adapts batch normalisation, and this net has none; use ARM-CML, or a net with it")
        for norm in norms:
            norm.momentum = 1.0  # the running statistics are then those of the last window

    def forward(self, x: Float[Tensor, "b s ..."]) -> Float[Tensor, "b s c"]:
        """Return logits of B windows, each normalised by itself."""
        for norm in self._norms():
            norm.train()
        return torch.stack([self.net(window) for window in x])

    def _norms(self) -> list[nn.modules.batchnorm._BatchNorm]:
        return [m for m in self.net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


class ArmBnMethod:
    """The trained net over one stream; between windows it answers with the statistics of the last one.

    `source` is the net that it grew from, whose statistics it has before its first window. SpecError for another net.
    """

    def __init__(self, trained: ArmBn, source: nn.Module) -> None:
        self._arm = copy.deepcopy(trained).eval()
        self._channels = input_channels(source)
        # Before its first window a device has the statistics of training.
        given = dict(source.named_buffers())
        for name, buffer in self._arm.net.named_buffers():
            if name not in given or given[name].shape != buffer.shape:
                raise SpecError(
                    f"the trained net has {name!r}, the source net lacks it; give the net that it grew from"
                )
            buffer.copy_(given[name])

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, C) under the window's own statistics, and keep them. DataError for an unusable window."""
        check_window(x, self._channels)
        logits: Tensor = self._arm(x.unsqueeze(0))[0]
        return logits

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, C) under the statistics of the last window. DataError for an unusable window."""
        check_window(x, self._channels)
        logits: Tensor = self._arm.net.eval()(x)
        return logits
