"""A net that can be asked under the statistics of the window at hand, or under those kept from the last one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from persona.baselines.norms import Mode, replace_batch_norms
from persona.baselines.windows import check_window, input_channels
from persona.errors import DataError, SpecError


class WindowedNet:
    """A copy of a net, in evaluation mode but for its batch normalisation; a net without that is asked as it is.

    `share` and `running` are those of `WindowNorm`. All windows are (N, C, H, W), all answers logits (N, K). `look`
    and `answer` refuse bad windows by DataError (see `check_window`), and so those that do not fit the net or for which
    it gives no finite logits; what was kept before stays as it was.
    """

    def __init__(self, model: nn.Module, share: float = 1.0, *, running: bool = False) -> None:
        self.net = copy.deepcopy(model).eval()
        self._norms = replace_batch_norms(self.net, share, running)
        self._channels = input_channels(self.net)

    def require_batch_norm(self, method: str) -> None:
        """Raise SpecError, in the name of a method, where no batch normalisation has source statistics."""
        if not self._norms:
            raise SpecError(
                f"{method} adapts the statistics of batch normalisation, and this net has none with source "
                "statistics; leave the method out, or use a net that has"
            )

    def look(self, x: Tensor) -> Tensor:
        """Ask under the window's own statistics, and keep them."""
        before = [(norm.mean.clone(), norm.variance.clone()) for norm in self._norms]
        try:
            return self._ask_checked(x, "keep")
        except DataError:
            for norm, (mean, variance) in zip(self._norms, before, strict=True):
                norm.mean.copy_(mean)
                norm.variance.copy_(variance)
            raise

    def peek(self, x: Tensor) -> Tensor:
        """Ask under the window's own statistics and keep nothing; for windows made of one that was looked at."""
        return self._ask(x, "peek")

    def answer(self, x: Tensor) -> Tensor:
        """Ask under the statistics kept last; before the first window those of the source."""
        return self._ask_checked(x, "kept")

    def _ask_checked(self, x: Tensor, mode: Mode) -> Tensor:
        check_window(x, self._channels)
        try:
            logits = self._ask(x, mode)
        except RuntimeError as error:  # torch's own word for shapes that do not fit
            raise DataError(f"a window of shape {tuple(x.shape)} does not fit the net: {error}") from error
        if not bool(torch.isfinite(logits).all()):
            raise DataError(f"the net gives logits that are not finite for a window from {x.min():g} to {x.max():g}")
        return logits

    def _ask(self, x: Tensor, mode: Mode) -> Tensor:
        for norm in self._norms:
            norm.mode = mode
        logits: Tensor = self.net(x)
        return logits
