"""Layers whose weight may carry a leading device axis: the whole trick of editing a model in torch.

`torch.func.functional_call` puts (B, out, in) in the place of (out, in) for the length of one call, and the layer then treats its
N = B·Q inputs as B devices of Q samples each, device-major. No state, no merging and unmerging, and device i's output depends
on device i's weight alone.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from persona.errors import EditError


def samples_per_device(x: Tensor, devices: int) -> int:
    """Return Q for N = B·Q inputs; EditError where B does not divide N."""
    samples, remainder = divmod(x.shape[0], devices)
    if remainder:
        raise EditError(
            f"a batch of {x.shape[0]} samples does not divide over {devices} edits; give each as many"
        )
    return samples


class EditableLinear(nn.Linear):
    """A linear layer; weight (out, in) or (B, out, in), bias (out,) or (B, out)."""

    def forward(self, input: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch out"]:
        """Map (N, …, in) to (N, …, out)."""
        if self.weight.ndim == 2 and (self.bias is None or self.bias.ndim == 1):
            return F.linear(input, self.weight, self.bias)
        devices = self.weight.shape[0] if self.weight.ndim == 3 else self.bias.shape[0]
        samples_per_device(input, devices)
        weight = self.weight if self.weight.ndim == 3 else self.weight.expand(devices, -1, -1)
        rows = input.reshape(devices, -1, self.in_features)  # (B, Q·…, in)
        out = torch.bmm(rows, weight.transpose(1, 2))
        if self.bias is not None:
            out = out + self.bias.reshape(-1, 1, self.out_features)
        return out.reshape(*input.shape[:-1], self.out_features)


class EditableConv2d(nn.Conv2d):
    """A convolution; weight (out, in/g, k, k) or (B, out, in/g, k, k), bias (out,) or (B, out)."""

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (N, in, H, W) to (N, out, H', W'); per-device weights run as one grouped convolution."""
        if self.weight.ndim == 4 and (self.bias is None or self.bias.ndim == 1):
            return self._conv_forward(input, self.weight, self.bias)
        devices = self.weight.shape[0] if self.weight.ndim == 5 else self.bias.shape[0]  # type: ignore[union-attr]
        samples = samples_per_device(input, devices)
        weight = self.weight if self.weight.ndim == 5 else self.weight.expand(devices, *self.weight.shape)
        x, padding = input, self.padding
        if self.padding_mode != "zeros":
            x = F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0, 0)
        x = x.reshape(devices, samples, *x.shape[1:]).transpose(0, 1).flatten(1, 2)  # (Q, B·in, H, W)
        groups = devices * self.groups
        out = F.conv2d(x, weight.flatten(0, 1), None, self.stride, padding, self.dilation, groups)
        out = out.unflatten(1, (devices, self.out_channels)).transpose(0, 1)  # (B, Q, out, H', W')
        if self.bias is not None:
            out = out + self.bias.reshape(-1, 1, self.out_channels, 1, 1)
        return out.flatten(0, 1)


class EditableBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over (N, C, H, W); scale and shift (C,) or (B, C). The statistics stay those of the whole batch."""

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalise, then scale and shift per device."""
        if self.weight.ndim == 1 and self.bias.ndim == 1:
            return super().forward(input)
        self._check_input_dim(input)
        use_batch = self.training or self.running_mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        mean, var = self.running_mean, self.running_var
        plain = F.batch_norm(input, mean, var, None, None, use_batch, momentum, self.eps)
        return _per_device_affine(plain, self.weight, self.bias)


class EditableGroupNorm(nn.GroupNorm):
    """Group normalisation over (N, C, …); scale and shift (C,) or (B, C)."""

    def forward(self, input: Float[Tensor, "n c *rest"]) -> Float[Tensor, "n c *rest"]:
        """Normalise, then scale and shift per device."""
        if self.weight.ndim == 1 and self.bias.ndim == 1:
            return super().forward(input)
        return _per_device_affine(
            F.group_norm(input, self.num_groups, None, None, self.eps), self.weight, self.bias
        )


class EditableLayerNorm(nn.LayerNorm):
    """Layer normalisation over the trailing axes; scale and shift of that shape, or with B in front."""

    def forward(self, input: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
        """Normalise, then scale and shift per device."""
        axes = len(self.normalized_shape)
        if self.weight.ndim == axes and (self.bias is None or self.bias.ndim == axes):
            return super().forward(input)
        plain = F.layer_norm(input, self.normalized_shape, None, None, self.eps)
        devices = self.weight.shape[0] if self.weight.ndim > axes else self.bias.shape[0]
        samples = samples_per_device(input, devices)
        between = (1,) * (input.ndim - 1 - axes)
        out = plain.reshape(devices, samples, *plain.shape[1:])
        for value, join in ((self.weight, torch.mul), (self.bias, torch.add)):
            if value is not None:
                out = join(out, value.reshape(-1, 1, *between, *self.normalized_shape))
        return out.reshape(input.shape)


def _per_device_affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Scale and shift channels (axis 1) of N = B·Q inputs by (B, C) or (C,) parameters."""
    devices = weight.shape[0] if weight.ndim == 2 else bias.shape[0]
    samples = samples_per_device(x, devices)
    shape = (-1, 1, x.shape[1], *(1,) * (x.ndim - 2))
    out = x.reshape(devices, samples, *x.shape[1:]) * weight.reshape(shape) + bias.reshape(shape)
    return out.reshape(x.shape)


EditableLayer: TypeAlias = (
    EditableLinear | EditableConv2d | EditableBatchNorm2d | EditableGroupNorm | EditableLayerNorm
)

# The layer kinds that can be edited: torch's class → (ours, the kind in a LayerSpec).
EDITABLE: dict[type[nn.Module], tuple[type[nn.Module], str]] = {
    nn.Linear: (EditableLinear, "linear"),
    nn.Conv2d: (EditableConv2d, "conv"),
    nn.BatchNorm2d: (EditableBatchNorm2d, "norm"),
    nn.GroupNorm: (EditableGroupNorm, "norm"),
    nn.LayerNorm: (EditableLayerNorm, "norm"),
}
