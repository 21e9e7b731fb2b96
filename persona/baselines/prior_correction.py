"""α-BN, then the device's class shares: estimated from recent windows, and added to the logits as a log prior.

The statistics are α-BN's. The shares are estimated by expectation maximisation (Saerens et al., Neural Computation
2002, section 2.2) on each window's probabilities and averaged over recent windows, as `persona.prior` does. An
evenly trained classifier's logits then gain the log of each share against an even one.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from persona.baselines.base import Grid
from persona.baselines.windowed import WindowedNet
from persona.errors import SpecError
from persona.prior import FLOOR, PriorState


class PriorCorrection:
    """One device. `alpha` is the source's share of the statistics, `strength` what part of the log prior is added.

    A net without batch normalisation gets the prior alone. SpecError where alpha lies outside [0, 1] or the strength
    is negative. The seed is not used: nothing is drawn.
    """

    GRID: ClassVar[Grid] = {"alpha": (0.3, 0.0, 0.7), "strength": (1.0, 0.5)}

    def __init__(self, model: nn.Module, seed: int, *, alpha: float = 0.3, strength: float = 1.0) -> None:
        if not 0 <= alpha <= 1 or strength < 0:
            raise SpecError(f"alpha is {alpha} and strength {strength}; wanted alpha in [0, 1], strength 0 or more")
        self._net, self._strength = WindowedNet(model, 1 - alpha), strength
        self._prior: PriorState | None = None

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K) with statistics and prior that include the window. DataError for an unusable window."""
        logits = self._net.look(x)
        prior = self._prior or PriorState.empty(logits.shape[1])
        self._prior = prior.after(logits.numpy(force=True))
        return self._corrected(logits)

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) with the last window's statistics and the prior as it stands. DataError as in `step`."""
        return self._corrected(self._net.answer(x))

    def _corrected(self, logits: Tensor) -> Tensor:
        if self._prior is None:
            return logits
        shares = np.maximum(self._prior.em, FLOOR)
        return logits + self._strength * torch.as_tensor(np.log(shares * len(shares))).to(logits)
