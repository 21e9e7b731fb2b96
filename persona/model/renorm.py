"""Renormalisation in torch, with a gradient to its strengths: the trainable twin of `persona.renorm`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.model.editable import EditableModel
from persona.renorm import LARGEST_FACTOR, RenormLayer
from persona.renorm import Renorm as NumpyRenorm

START = 0.7  # α where training begins


class _Norm(NamedTuple):
    """Statistics of training, scale and ε of one layer."""

    mean: Tensor
    variance: Tensor
    scale: Tensor
    epsilon: float


class Renorm(nn.Module):
    """A learned α for each batch-normalisation layer of a model that is both editable and tapped at order 2.

    A model without such layers has none to renormalise, and every delta is then left out.
    """

    def __init__(self, model: EditableModel) -> None:
        super().__init__()
        editable = {layer.name for layer in model.spec.layers}
        self._places: list[tuple[str, int, int]] = []
        start = 0
        for tap, where in zip(model.tap_specs, model.taps, strict=True):
            layer = model.module.get_submodule(tap.name)
            # On a grid the moments are those of cells, not of the layer's input.
            if tap.order == 2 and not where.grid and tap.name in editable and _has_statistics(layer):
                self._places.append((tap.name, start, tap.channels))
            start += tap.width
        self.logits = nn.Parameter(torch.full((len(self._places),), math.log(START / (1 - START))))

    def shares(self) -> dict[str, Tensor]:
        """Return the share of a device's own statistics for each layer, as `EditableModel` takes it."""
        return {name: logit.sigmoid() for (name, _, _), logit in zip(self._places, self.logits, strict=True)}

    def forward(
        self, model: EditableModel, means: Float[Tensor, "b m"], deltas: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return {tensor name: (B, *shape)}: deltas under which running statistics act as those of B windows mixed in.

        `means` are the mean moments of the windows under the `deltas` given, which the result takes up: a window then
        runs as it ran with its own statistics, and so does whatever comes after it.
        """
        settled = dict(deltas or {})
        for (name, start, channels), logit in zip(self._places, self.logits, strict=True):
            norm, alpha = _norm(model, name), logit.sigmoid()
            seen = means[:, start : start + 2 * channels].double()  # float32 loses the variance far from zero
            mean, square = seen[:, :channels], seen[:, channels:]
            mixed_mean = alpha * mean + (1 - alpha) * norm.mean
            mixed = alpha * (square - mean**2).clamp(min=0) + (1 - alpha) * norm.variance
            spread = (norm.variance + norm.epsilon).sqrt()
            factor = torch.minimum((mixed + norm.epsilon).rsqrt(), LARGEST_FACTOR / spread)
            weight, bias = f"{name}.weight", f"{name}.bias"
            more_scale, more_shift = settled.get(weight, 0.0), settled.get(bias, 0.0)
            scale = norm.scale + more_scale
            settled[weight] = (scale * spread * factor - norm.scale).to(means.dtype)
            settled[bias] = (scale * (norm.mean - mixed_mean) * factor + more_shift).to(means.dtype)
        return settled

    def to_numpy(self, model: EditableModel) -> NumpyRenorm:
        """Return the half that ships to devices."""
        layers = []
        strengths: list[float] = self.logits.detach().sigmoid().tolist()
        for (name, _, _), strength in zip(self._places, strengths, strict=True):
            norm = _norm(model, name)
            mean, variance, scale = (v.detach().cpu().numpy().copy() for v in norm[:3])
            layers.append(RenormLayer(name, mean, variance, scale, strength, norm.epsilon))
        return NumpyRenorm(tuple(layers))


def _norm(model: EditableModel, name: str) -> _Norm:
    layer = cast(nn.BatchNorm2d, model.module.get_submodule(name))
    mean, variance = cast("tuple[Tensor, Tensor]", (layer.running_mean, layer.running_var))
    return _Norm(mean, variance, layer.weight, layer.eps)


def _has_statistics(layer: nn.Module) -> bool:
    is_batch_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
    return is_batch_norm and layer.running_mean is not None and layer.weight is not None
