"""Renormalisation in torch, with a gradient to its strengths: the trainable twin of `persona.renorm`."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.model.editable import EditableModel
from persona.renorm import LARGEST_FACTOR, RenormLayer
from persona.renorm import Renorm as NumpyRenorm

START = 0.7  # α where training begins


class Renorm(nn.Module):
    """A learned α for each batch-normalisation layer of a model that is both editable and tapped at order 2.

    A model without such layers has none to renormalise, and every delta is then left out.
    """

    def __init__(self, model: EditableModel) -> None:
        super().__init__()
        editable = {layer.name for layer in model.spec.layers}
        self._places: list[tuple[str, int, int]] = []
        start = 0
        for tap in model.tap_specs:
            layer = model.module.get_submodule(tap.name)
            if tap.order == 2 and tap.name in editable and _has_statistics(layer):
                self._places.append((tap.name, start, tap.channels))
            start += tap.width
        self.logits = nn.Parameter(torch.full((len(self._places),), math.log(START / (1 - START))))

    def forward(self, model: EditableModel, means: Float[Tensor, "b m"]) -> dict[str, Tensor]:
        """Return {tensor name: deltas (B, C)} for the mean moments of B windows under base weights."""
        deltas: dict[str, Tensor] = {}
        for (name, start, channels), logit in zip(self._places, self.logits, strict=True):
            norm = model.module.get_submodule(name)
            scale, source_mean, source_variance = norm.weight, norm.running_mean, norm.running_var
            mean = means[:, start : start + channels]
            variance = (means[:, start + channels : start + 2 * channels] - mean**2).clamp(min=0)
            alpha = logit.sigmoid()
            mixed_mean = alpha * mean + (1 - alpha) * source_mean
            mixed = alpha * variance + (1 - alpha) * source_variance
            spread = (source_variance + norm.eps).sqrt()
            factor = torch.minimum((mixed + norm.eps).rsqrt(), LARGEST_FACTOR / spread)
            deltas[f"{name}.weight"] = scale * (spread * factor - 1)
            deltas[f"{name}.bias"] = scale * (source_mean - mixed_mean) * factor
        return deltas

    def to_numpy(self, model: EditableModel) -> NumpyRenorm:
        """Return the half that ships to devices."""
        layers = []
        for (name, _, _), logit in zip(self._places, self.logits, strict=True):
            norm = model.module.get_submodule(name)
            values = (v.detach().cpu().numpy().copy() for v in (norm.running_mean, norm.running_var, norm.weight))
            layers.append(RenormLayer(name, *values, float(logit.sigmoid()), float(norm.eps)))
        return NumpyRenorm(tuple(layers))


def _has_statistics(layer: nn.Module) -> bool:
    is_batch_norm = isinstance(layer, nn.modules.batchnorm._BatchNorm)
    return is_batch_norm and layer.running_mean is not None and layer.weight is not None
