"""A net whose normalisation layers' inputs are measured and moved, for several candidates in one pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from persona.baselines.windows import check_window, input_channels
from persona.errors import SpecError

FLOOR = 1e-5  # of a variance
Moments = tuple[Tensor, Tensor]  # means and spreads of channels: (C,), or (P, C) for P candidates
# From the means (P, C) that enter the last layer to the means (P, C) or (C,) to be moved onto the source's.
Believed = Callable[[Tensor], Tensor]


class Tapped:
    """A copy of a net in evaluation mode, and the `source` moments of what enters each tracked layer.

    Tracked are batch normalisation's layers with kept statistics, or, given `source` pictures (S, …), every batch and
    group normalisation, measured on them. SpecError where there is none.
    """

    def __init__(self, model: nn.Module, source: Tensor | None = None) -> None:
        self._net = copy.deepcopy(model).eval()
        self._channels = input_channels(self._net)
        self.moments: list[Moments] = []  # of the last run, (P, C) each
        self._shifts: Tensor | None = None
        self._believed: Believed | None = None
        self._candidates = 1
        norms = [m for m in self._net.modules() if _is_tracked(m, source is not None)]
        if not norms:
            raise SpecError(
                "no source statistics: the net's normalisation keeps none; give `source` pictures, or a net with "
                "batch or group normalisation"
            )
        self.source: list[Moments] = [] if source is not None else [_kept(norm) for norm in norms]
        for number, norm in enumerate(norms):
            norm.register_forward_pre_hook(self._tap(number, number == len(norms) - 1))
        if source is not None:
            check_window(source, self._channels)
            with torch.no_grad():
                self._net(source)
            self.source = [(mean[0], spread[0]) for mean, spread in self.moments]

    def run(self, x: Tensor, shifts: Tensor, believed: Believed | None) -> Tensor:
        """Return logits (P, N, K) of pictures (N, …) under P candidates, and keep their `moments`.

        Candidate p adds ``shifts[p]`` (C,), in source spreads, to what enters the first tracked layer; what enters the
        last moves by the source's mean less what is `believed` of its own, where anything is. DataError as in `check`.
        """
        self.check(x)
        self._shifts, self._believed, self._candidates = shifts, believed, len(shifts)
        self.moments = []
        try:
            logits: Tensor = self._net(x.repeat(len(shifts), *(1 for _ in x.shape[1:])))
        finally:
            self._shifts = self._believed = None
        return logits.reshape(len(shifts), len(x), -1)

    def check(self, x: Tensor) -> None:
        """DataError for a window that no method can use."""
        check_window(x, self._channels)

    def _tap(self, number: int, is_last: bool) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        def tap(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x = inputs[0]
            if number == 0 and self._shifts is not None:
                x = self._add(x, self._shifts * self.source[0][1])
            each = x.unflatten(0, (self._candidates, -1))  # (P, N, C, …)
            variance, mean = torch.var_mean(each, dim=(1, *range(3, each.ndim)), correction=0)
            self.moments.append((mean, (variance + FLOOR).sqrt()))
            if is_last and self._believed is not None:
                x = self._add(x, (self.source[-1][0] - self._believed(mean)).expand_as(mean))
            return (x, *inputs[1:])

        return tap

    def _add(self, x: Tensor, what: Tensor) -> Tensor:
        """Add (P, C) to the channels of each candidate's part of x (P · N, C, …)."""
        each = what.repeat_interleave(len(x) // len(what), dim=0)
        return x + each.reshape(*each.shape, *(1 for _ in x.shape[2:]))


def discrepancy(found: Sequence[Moments], source: Sequence[Moments]) -> Tensor:
    """Return how far candidates' moments (P, C) of each layer are from the source's (C,): (P,).

    The root mean square over channels, in source spreads, of means and of spreads; their sum, averaged over layers.
    """
    layers = []
    for (means, spreads), (source_means, source_spreads) in zip(found, source, strict=True):
        apart = ((means - source_means) / source_spreads, (spreads - source_spreads) / source_spreads)
        layers.append(torch.stack([part.square().mean(dim=1).sqrt() for part in apart]).sum(dim=0))
    return torch.stack(layers).mean(dim=0)


def _is_tracked(module: nn.Module, is_measured: bool) -> bool:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return is_measured or module.running_mean is not None
    return is_measured and isinstance(module, nn.GroupNorm)


def _kept(norm: nn.Module) -> Moments:
    kept = dict(norm.named_buffers())
    return kept["running_mean"].clone(), (kept["running_var"] + FLOOR).sqrt()
