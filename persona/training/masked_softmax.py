"""Cross-entropy over a whole catalogue in which each row has some items deleted: those its user has seen.

States are taken a few at a time, so that the scores of a large batch never stand in memory at once, and their gradient
is worked out on the spot, while the scores are in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from persona.training.seen import Runs

# Scores worked on at once: about what a core's cache holds.
SCORES_AT_ONCE = 1 << 18


def masked_cross_entropy(
    states: Float[Tensor, "t d"],
    vectors: Float[Tensor, "i d"],
    bias: Float[Tensor, " i"],
    targets: Int[Tensor, " t"],
    seen: Runs | None,
) -> Float[Tensor, ""]:
    """Return the mean cross-entropy of targets (T,) under softmax(states · vectorsᵀ + bias).

    Padding and what each row has seen have no share, a target that was seen before excepted.
    """
    loss: Tensor = _MaskedCrossEntropy.apply(states, vectors, bias, targets, seen)  # type: ignore[no-untyped-call]
    return loss


class _MaskedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, vectors: Tensor, bias: Tensor, targets: Tensor, seen: Runs | None) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        gradients = [torch.zeros_like(x) for x in (states, vectors, bias)] if wanted else []
        rows = max(1, SCORES_AT_ONCE // len(vectors))
        buffer = states.new_empty(min(rows, len(states)), len(vectors))
        total = states.new_zeros(())
        for at in range(0, len(states), rows):
            part = slice(at, at + rows)
            shares = buffer[: len(states[part])]
            own = targets[part, None]
            torch.addmm(bias, states[part], vectors.T, out=shares)
            target = shares.gather(1, own)
            shares[:, 0] = -torch.inf
            if seen is not None:
                seen[part].fill_(shares)
                shares.scatter_(1, own, target)
            largest = shares.amax(dim=1)
            torch.softmax(shares, dim=1, out=shares)  # far faster than its logarithm and then its exponential
            total += (largest - shares.amax(dim=1).log()).sum() - target.sum()
            if wanted:
                _add_gradients(shares, own, states[part], vectors, gradients, part)
        ctx.save_for_backward(*gradients)
        ctx.count = len(states)
        return total / len(states)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        scale = above / ctx.count
        return (*(gradient * scale for gradient in ctx.saved_tensors), None, None)


def _add_gradients(
    shares: Tensor, own: Tensor, states: Tensor, vectors: Tensor, gradients: list[Tensor], part: slice
) -> None:
    """Add what some rows give to the gradients of states, vectors and bias."""
    shares.scatter_add_(1, own, shares.new_full((1, 1), -1.0).expand_as(own))
    torch.mm(shares, vectors, out=gradients[0][part])
    gradients[1].addmm_(shares.T, states)
    gradients[2].add_(shares.sum(dim=0))
