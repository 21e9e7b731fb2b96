"""Layers whose weight may carry a leading device axis: the whole trick of editing a model in torch.

`torch.func.functional_call` puts (B, out, in) in the place of (out, in) for the length of one call, and the layer then
treats its N = B·Q inputs as B devices of Q samples each, device-major. No state, no merging and unmerging, and device
i's output depends on device i's weight alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from persona.errors import EditError
from persona.renorm import LARGEST_FACTOR


def samples_per_device(x: Tensor, devices: int) -> int:
    """Return Q for N = B·Q inputs; EditError where B does not divide N."""
    samples, remainder = divmod(x.shape[0], devices)
    if remainder:
        raise EditError(f"a batch of {x.shape[0]} samples does not divide over {devices} edits; give each as many")
    return samples


def count_devices(weight: Tensor, bias: Tensor | None, axes: int, bias_axes: int = 1) -> int | None:
    """Return B where the weight, of `axes` axes by itself, or the bias has a device axis in front; None where none has.

    EditError where they are of different numbers of devices.
    """
    counts = [weight.shape[0]] if weight.ndim > axes else []
    if bias is not None and bias.ndim > bias_axes:
        counts.append(bias.shape[0])
    if len(set(counts)) > 1:
        raise EditError(f"weights are of {counts[0]} devices and biases of {counts[1]}; give both for the same devices")
    return counts[0] if counts else None


class EditableLinear(nn.Linear):
    """A linear layer; weight (out, in) or (B, out, in), bias (out,) or (B, out)."""

    def forward(self, input: Float[Tensor, "*batch features"]) -> Float[Tensor, "*batch out"]:
        """Map (N, …, in) to (N, …, out)."""
        devices = count_devices(self.weight, self.bias, 2)
        if devices is None:
            return super().forward(input)
        samples_per_device(input, devices)
        weight = self.weight.expand(devices, self.out_features, self.in_features)
        rows = input.reshape(devices, -1, self.in_features)  # (B, Q·…, in)
        out = torch.bmm(rows, weight.transpose(1, 2))
        bias: Tensor | None = self.bias
        if bias is not None:
            out = out + bias.reshape(-1, 1, self.out_features)
        return out.reshape(*input.shape[:-1], self.out_features)


class EditableConv2d(nn.Conv2d):
    """A convolution; weight (out, in/g, k, k) or (B, out, in/g, k, k), bias (out,) or (B, out)."""

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (N, in, H, W) to (N, out, H', W').

        Per-device weights run as one convolution a device: on a CPU a grouped one takes half as long again.
        """
        devices = count_devices(self.weight, self.bias, 4)
        if devices is None:
            return super().forward(input)
        samples = samples_per_device(input, devices)
        weights = self.weight.expand(devices, *self.weight.shape[-4:])
        biases = [None] * devices if self.bias is None else self.bias.expand(devices, self.out_channels)
        parts = zip(input.split(samples), weights, biases, strict=True)
        return torch.cat([self._conv_forward(x, weight, bias) for x, weight, bias in parts])


class EditableBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over (N, C, H, W); scale and shift (C,) or (B, C).

    The statistics stay those of the whole batch in training mode, and the running ones follow as in `nn.BatchNorm2d`.
    With `own_share`, a number in [0, 1] put there for the length of a call, so much of the statistics is each device's
    own and the rest the running ones, in either mode; EditError where there are none of these.
    """

    own_share: Tensor | None

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalise, then scale and shift per device."""
        devices = count_devices(self.weight, self.bias, 1)
        if self.own_share is not None:
            return self._under_own_statistics(input, devices or 1, self.own_share)
        if devices is None:
            return super().forward(input)
        self._check_input_dim(input)
        if not self.training and self.running_mean is not None and self.running_var is not None:
            # One pass over the pictures instead of two: what is kept of training goes into scale and shift.
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            return _per_device_affine(input, scale, self.bias - self.running_mean * scale, devices)
        kept = self.track_running_stats or not self.training
        mean, var = (self.running_mean, self.running_var) if kept else (None, None)
        share = self._share_of_batch()
        plain = F.batch_norm(input, mean, var, None, None, self.training or mean is None, share, self.eps)
        return _per_device_affine(plain, self.weight, self.bias, devices)

    def _under_own_statistics(self, input: Tensor, devices: int, share: Tensor) -> Tensor:
        if self.running_mean is None or self.running_var is None:
            raise EditError("a layer without statistics of training has none to mix a device's own with")
        parts = input.reshape(devices, samples_per_device(input, devices), *input.shape[1:])
        own_variance, own_mean = torch.var_mean(parts, dim=(1, 3, 4), correction=0)
        mean, variance = self.running_mean.lerp(own_mean, share), self.running_var.lerp(own_variance, share)
        factor = torch.minimum((variance + self.eps).rsqrt(), LARGEST_FACTOR / (self.running_var + self.eps).sqrt())
        scale = self.weight * factor
        return _per_device_affine(input, scale, self.bias - mean * scale, devices)

    def _share_of_batch(self) -> float:
        """Count a batch, and return its share in the running statistics: a plain mean where `momentum` is None."""
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                return 1 / float(self.num_batches_tracked)
        return self.momentum or 0.0


class EditableGroupNorm(nn.GroupNorm):
    """Group normalisation over (N, C, …); scale and shift (C,) or (B, C)."""

    def forward(self, input: Float[Tensor, "n c *rest"]) -> Float[Tensor, "n c *rest"]:
        """Normalise, then scale and shift per device."""
        devices = count_devices(self.weight, self.bias, 1)
        if devices is None:
            return super().forward(input)
        plain = F.group_norm(input, self.num_groups, None, None, self.eps)
        return _per_device_affine(plain, self.weight, self.bias, devices)


class EditableLayerNorm(nn.LayerNorm):
    """Layer normalisation over the trailing axes; scale and shift of that shape, or with B in front."""

    def forward(self, input: Float[Tensor, "n *rest"]) -> Float[Tensor, "n *rest"]:
        """Normalise, then scale and shift per device."""
        axes = len(self.normalized_shape)
        devices = count_devices(self.weight, self.bias, axes, axes)
        if devices is None:
            return super().forward(input)
        samples = samples_per_device(input, devices)
        plain = F.layer_norm(input, self.normalized_shape, None, None, self.eps)
        shape = (-1, 1, *(1,) * (input.ndim - 1 - axes), *self.normalized_shape)
        out = plain.reshape(devices, samples, *input.shape[1:]) * self.weight.reshape(shape)
        bias: Tensor | None = self.bias
        if bias is not None:
            out = out + bias.reshape(shape)
        return out.reshape(input.shape)


def _per_device_affine(x: Tensor, weight: Tensor, bias: Tensor, devices: int) -> Tensor:
    """Scale and shift channels (axis 1) of N = B·Q inputs by (B, C) or (C,) parameters."""
    samples = samples_per_device(x, devices)
    shape = (-1, 1, x.shape[1], *(1,) * (x.ndim - 2))
    parts = x.reshape(devices, samples, *x.shape[1:])
    return torch.addcmul(bias.reshape(shape), parts, weight.reshape(shape)).reshape(x.shape)


# The layer kinds that can be edited: torch's class → (ours, the kind in a LayerSpec).
EDITABLE: dict[type[nn.Module], tuple[type[nn.Module], str]] = {
    nn.Linear: (EditableLinear, "linear"),
    nn.Conv2d: (EditableConv2d, "conv"),
    nn.BatchNorm2d: (EditableBatchNorm2d, "norm"),
    nn.GroupNorm: (EditableGroupNorm, "norm"),
    nn.LayerNorm: (EditableLayerNorm, "norm"),
}
