"""Forward-only adaptation in the manner of FOA (Niu et al., ICML 2024), for small nets with normalisation layers.

*Fitness* (section 3.1): the mean entropy of the predictions plus λ times how far the statistics of activations are from
the source's. *Search*: one generation of an evolution strategy a window, forward passes alone; the fittest candidate
answers. *Back-to-source shifting* (section 3.2): the last tracked activations move by the source mean less a running
mean of the target's.

Where we differ: FOA searches a prompt of a transformer, we search one shift for each channel that enters the first
tracked normalisation layer, in units of its source spread. The discrepancy is the root mean square over channels, in
the same units, of means and of spreads, averaged over layers, so that λ does not depend on a net's width. The
covariance is diagonal. No shift at all and the distribution's mean compete with the draws.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.evolution import Evolution
from persona.baselines.tapped import Tapped, discrepancy
from persona.errors import SpecError

SPREAD = 0.1  # of the first draws, in units of source spread


class Foa:
    """One device. `discrepancy` is λ, `momentum` the weight of a window in the running mean of the target.

    Source statistics are those that batch normalisation keeps. Where there is none, `source` pictures (S, …) give them,
    and group normalisation is tracked as well. SpecError where there is neither, or a `population` below 4.
    """

    GRID: ClassVar[Grid] = {"discrepancy": (0.4, 2.0), "momentum": (0.1, 0.5, 1.0)}

    def __init__(
        self, model: nn.Module, seed: int, *, population: int = 12, discrepancy: float = 0.4, momentum: float = 0.1,
        source: Tensor | None = None,
    ) -> None:  # fmt: skip
        if population < 4:
            raise SpecError(f"FOA's population is {population}; its better half must be two at least, so wanted 4")
        self._discrepancy, self._momentum = discrepancy, momentum
        self._tapped = Tapped(model, source)
        self._evolution = Evolution(torch.zeros(len(self._tapped.source[0][0])), SPREAD, population, seed)
        self._shift = torch.zeros_like(self._evolution.mean)  # (C,), of the fittest of the last window
        self._running: Tensor | None = None  # (C of the last layer,)
        self.fitness: Tensor | None = (
            None  # (P,) on the last window: of no shift, of the mean, of each draw; less is fitter
        )

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Try a generation on the window and answer (N, K) with the fittest. DataError for an unusable window."""
        self._tapped.check(x)  # before anything is drawn
        draws = self._evolution.ask()
        shifts = torch.cat([torch.zeros_like(draws[:1]), self._evolution.mean.unsqueeze(0), draws])  # (P, C)
        logits = self._tapped.run(x, shifts, self._moved)  # (P, N, K)
        fitness = self.fitness = self._fit(logits).nan_to_num(nan=torch.inf)
        self._evolution.tell(draws, fitness[2:])
        best = int(fitness.argmin())
        self._running = self._moved(self._tapped.moments[-1][0])[best]
        self._shift = shifts[best]
        return logits[best]

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) with the last window's shifts. DataError for an unusable window."""
        running = self._running
        believed = None if running is None else running.expand_as
        return self._tapped.run(x, self._shift.unsqueeze(0), believed)[0]

    def _moved(self, now: Tensor) -> Tensor:
        """Return the running means (P, C) after a window whose means are `now` (P, C)."""
        return now if self._running is None else self._running + self._momentum * (now - self._running)

    def _fit(self, logits: Tensor) -> Tensor:
        logs = logits.log_softmax(dim=2)
        entropy = -(logs.exp() * logs).sum(dim=2).mean(dim=1)  # (P,)
        return entropy + self._discrepancy * discrepancy(self._tapped.moments, self._tapped.source)
