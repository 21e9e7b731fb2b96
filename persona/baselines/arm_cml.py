"""ARM-CML: a window's pictures give context channels, which the net reads beside each picture.

Zhang et al., "Adaptive Risk Minimization", NeurIPS 2021, section 4.1: a context network, averaged over the window.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.baselines.windows import check_window
from persona.errors import SpecError

CONTEXT_CHANNELS, HIDDEN = 12, 16


class ArmCml(nn.Module):
    """A net whose first convolution also reads the mean of a small context network over the window.

    It starts as the net given: the weights of the new channels are zero. SpecError where the first layer with weights
    is no plain convolution.
    """

    def __init__(self, model: nn.Module, context: int = CONTEXT_CHANNELS, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.net = copy.deepcopy(model)
        name, stem = next(((n, m) for n, m in self.net.named_modules() if isinstance(m, nn.Conv2d)), ("", None))
        if stem is None or stem.groups != 1:
            raise SpecError("ARM-CML widens a net's first convolution, and this net has none to widen")
        self.net.set_submodule(name, _widened(stem, context))
        self.channels, self.context_channels = stem.in_channels, context
        self.encode = nn.Sequential(
            nn.Conv2d(stem.in_channels, hidden, 3, padding=1),
            nn.GroupNorm(4, hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, context, 3, padding=1),
        )

    def context(self, x: Float[Tensor, "b s c h w"]) -> Float[Tensor, "b k h w"]:
        """Return the context channels of B windows."""
        each: Tensor = self.encode(x.flatten(0, 1))
        return each.reshape(*x.shape[:2], *each.shape[1:]).mean(dim=1)

    def predict(self, x: Float[Tensor, "b s c h w"], context: Float[Tensor, "b k h w"]) -> Float[Tensor, "b s n"]:
        """Return logits under a context for each window."""
        beside = context.unsqueeze(1).expand(-1, x.shape[1], -1, -1, -1)
        logits: Tensor = self.net(torch.cat([x, beside], dim=2).flatten(0, 1))
        return logits.reshape(*x.shape[:2], -1)

    def forward(self, x: Float[Tensor, "b s c h w"]) -> Float[Tensor, "b s n"]:
        """Return logits of B windows, each under its own context."""
        return self.predict(x, self.context(x))


class ArmCmlMethod:
    """The trained net over one stream; between windows it answers under the context of the last one."""

    def __init__(self, trained: ArmCml) -> None:
        self._arm = trained.eval()
        self._context: Tensor | None = None

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, C) under the window's own context, and keep it. DataError for an unusable window."""
        check_window(x, self._arm.channels)
        self._context = self._arm.context(x.unsqueeze(0))
        return self.answer(x)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, C) under the last window's context, or an empty one before the first window.

        DataError for an unusable window.
        """
        check_window(x, self._arm.channels)
        context = self._context
        if context is None:
            context = x.new_zeros(1, self._arm.context_channels, *x.shape[2:])
        return self._arm.predict(x.unsqueeze(0), context)[0]


def _widened(stem: nn.Conv2d, extra: int) -> nn.Conv2d:
    wide = nn.Conv2d(
        stem.in_channels + extra,
        stem.out_channels,
        stem.kernel_size,  # type: ignore[arg-type]  # torch keeps a tuple of as many axes
        stride=stem.stride,  # type: ignore[arg-type]
        padding=stem.padding,  # type: ignore[arg-type]
        dilation=stem.dilation,  # type: ignore[arg-type]
        bias=stem.bias is not None,
        padding_mode=stem.padding_mode,
    )
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[:, : stem.in_channels] = stem.weight
        if stem.bias is not None and wide.bias is not None:
            wide.bias.copy_(stem.bias)
    return wide
