"""EATA: entropy is minimised on samples that are reliable and not redundant (Niu et al., ICML 2022).

This is the paper's sample-adaptive entropy minimisation. Its second half, a Fisher regulariser against forgetting,
needs samples of the source, which no peer has here; without it the authors call the method ETA.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.baselines.base import Grid
from persona.baselines.descent import descend, entropy, learn_only
from persona.baselines.norms import affine_parameters
from persona.baselines.settings import check_range
from persona.baselines.windowed import WindowedNet

FORGETTING = 0.1  # of the average prediction


class Eata:
    """One step of SGD with momentum 0.9 a window, on the samples that count.

    A sample counts where its entropy is below `threshold` · ln K and the cosine of its prediction with
    the average prediction so far is below `similarity`; its weight is exp(threshold · ln K − entropy).
    Published for ten small classes: rate 0.005, similarity 0.4. The seed decides nothing. SpecError where no norm has
    parameters, or a setting is out of range.
    """

    GRID: ClassVar[Grid] = {"rate": (0.005, 0.001, 0.02), "similarity": (0.4, 0.8)}

    def __init__(
        self, model: nn.Module, seed: int, *, rate: float = 0.005, similarity: float = 0.4, threshold: float = 0.4
    ) -> None:
        for name, value in (("rate", rate), ("threshold", threshold)):
            check_range(f"{name} of EATA", value)
        check_range("similarity of EATA", similarity, high=1)
        self._net = WindowedNet(model)
        self._learned = affine_parameters(self._net.net)
        learn_only(self._net.net, self._learned)
        self._optimizer = torch.optim.SGD(self._learned, lr=rate, momentum=0.9)
        self._similarity, self._threshold = similarity, threshold
        self._average: Tensor | None = None  # (K,)

    @torch.enable_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, K), then learn from what counts. DataError for a bad window, from which nothing is learned."""
        logits = self._net.look(x)
        each = entropy(logits)
        weights = self._weigh(logits.detach(), each.detach())
        counting = weights > 0
        if bool(counting.any()):
            descend(self._optimizer, (weights * each)[counting].mean(), self._learned)
        return logits.detach()

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, K) under the last window's statistics. DataError for a bad window."""
        return self._net.answer(x)

    def _weigh(self, logits: Tensor, each: Tensor) -> Tensor:
        bar = self._threshold * math.log(logits.shape[1])
        counting, predictions = each < bar, logits.softmax(1)
        mean = predictions.mean(dim=0)
        if self._average is None:
            self._average = mean
        else:
            counting &= F.cosine_similarity(predictions, self._average.unsqueeze(0)) < self._similarity
            self._average = torch.lerp(self._average, mean, FORGETTING)
        return torch.where(counting, (bar - each).exp(), 0.0)
