"""Normalisation layers: finding them, their affine parameters, and batch normalisation by the window at hand."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.errors import SpecError

# Which statistics a layer normalises by: the window's, which it keeps or not, or those kept last.
Mode = Literal["keep", "peek", "kept"]


class WindowNorm(nn.Module):
    """Batch normalisation with known source statistics that can also normalise by the window at hand.

    It shares weight and bias with the layer it replaces. In mode "keep" and "peek" it normalises by
    (1 − share) · base + share · window, mean and biased variance per channel alike (Schneider et al., NeurIPS 2020,
    with the share n / (N + n) given outright); "keep" also keeps that mixture, which mode "kept" normalises by. The
    base is the source, or with `running` what was kept last: an exponential average over windows.
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm, share: float = 1.0, running: bool = False) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise SpecError("a batch normalisation keeps no source statistics; it uses those of each window anyway")
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.share, self.running = share, running
        self.mode: Mode = "kept"
        self.source_mean, self.source_variance, self.mean, self.variance = (
            nn.Buffer(t.detach().clone()) for t in (norm.running_mean, norm.running_var) * 2
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, …)."""
        if self.mode == "kept":
            return self._normalise(x, self.mean, self.variance)
        values = x.numel() // x.shape[1]  # per channel
        if self.share == 1.0 and values > 1:
            return self._by_window(x, values)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = torch.var_mean(x, axes, correction=0)
        bases = (self.mean, self.variance) if self.running else (self.source_mean, self.source_variance)
        mean, variance = torch.lerp(bases[0], mean, self.share), torch.lerp(bases[1], variance, self.share)
        if self.mode == "keep":
            self.mean.copy_(mean.detach())
            self.variance.copy_(variance.detach())
        if not mean.requires_grad:
            return self._normalise(x, mean, variance)
        shape = (-1,) + (1,) * (x.ndim - 2)
        scale = (variance + self.eps).rsqrt()
        return self._affine((x - mean.reshape(shape)) * scale.reshape(shape), shape)

    def _normalise(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)

    def _by_window(self, x: Tensor, values: int) -> Tensor:
        if self.mode == "peek":
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 1.0, self.eps)
        mean, variance = self.mean.clone(), self.variance.clone()  # the gradient needs them as torch leaves them
        y = F.batch_norm(x, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
        self.mean.copy_(mean)
        self.variance.copy_(variance).mul_((values - 1) / values)  # torch tells the unbiased one, and uses the other
        return y

    def _affine(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        if self.weight is not None:
            x = x * self.weight.reshape(shape)
        return x if self.bias is None else x + self.bias.reshape(shape)


NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, WindowNorm)


def affine_parameters(net: nn.Module) -> list[nn.Parameter]:
    """Return scales and shifts of a net's normalisation layers, in the net's order, each once.

    SpecError where there is nothing to learn: no normalisation layer, or none with parameters.
    """
    found: dict[int, nn.Parameter] = {}
    for module in net.modules():
        if isinstance(module, NORMS):
            found |= {id(parameter): parameter for parameter in module.parameters(recurse=False)}
    if not found:
        raise SpecError("this net has no normalisation layer with scale and shift, and nothing else is adapted here")
    return list(found.values())


def replace_batch_norms(net: nn.Module, share: float = 1.0, running: bool = False) -> list[WindowNorm]:
    """Put a `WindowNorm` in place of every batch normalisation of a net that has source statistics; return them.

    The net given is changed. The list is empty where it has no such layer.
    """
    made: dict[int, WindowNorm] = {}
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            made.setdefault(id(module), WindowNorm(module, share, running))
            net.set_submodule(name, made[id(module)])
    return list(made.values())
