"""What peers that learn by gradient share: entropy, a careful step, and parameters that follow others slowly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy (N,), in nats, of predictions given as logits (N, K)."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Return −Σ_c target_c log softmax(logits)_c (N,) for target probabilities (N, K)."""
    return -(target * logits.log_softmax(1)).sum(1)


def learn_only(net: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
    """Freeze every parameter of a net but those given.

    From here on its group normalisation reads its input in the plain layout. On a CPU torch ends the process where the
    input lies channels last and needs no gradient itself, as behind a frozen first layer (seen with torch 2.13).
    """
    net.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    for module in net.modules():
        if isinstance(module, nn.GroupNorm):
            module.register_forward_pre_hook(_in_plain_layout)


def gradient(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor] | None:
    """Return the gradient by parameter, zero where the loss does not reach one; None where it is not finite."""
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    finite = torch.stack([g.abs().sum() for g in found]).isfinite().all()
    return list(found) if bool(finite) else None


def descend(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
    """Take one step of the optimizer down a loss; none where the gradient is not finite."""
    found = gradient(loss, parameters)
    if found is not None:
        take_step(optimizer, found, parameters)


def take_step(optimizer: torch.optim.Optimizer, found: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
    """Take one step of the optimizer along a gradient that was worked out before."""
    for parameter, g in zip(parameters, found, strict=True):
        parameter.grad = g
    optimizer.step()
    optimizer.zero_grad()


@torch.no_grad()
def follow(moving: Sequence[Tensor], goal: Sequence[Tensor], share: float) -> None:
    """Move tensors in place towards others: new = (1 − share) · old + share · goal."""
    for old, new in zip(moving, goal, strict=True):
        old.lerp_(new, share)


def _in_plain_layout(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # A copy always: pictures of one pixel count as plain, and crash as well.
    return tuple(x.clone(memory_format=torch.contiguous_format) for x in inputs)
