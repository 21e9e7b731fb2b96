"""A net in two halves: what it makes of a picture before its last linear layer, and that layer."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from persona.baselines.windows import check_window, input_channels
from persona.errors import SpecError


def find_head(net: nn.Module, use: str) -> tuple[str, nn.Linear]:
    """Return the name of a net's last linear layer, and the layer.

    `use` says in a SpecError what a method does with it, where the net has none.
    """
    heads = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not heads:
        raise SpecError(f"{use} a net's last linear layer, and this net has none")
    return heads[-1]


class Split:
    """A copy of a net in evaluation mode, cut before its last linear layer: `weight` (K, F), `bias` (K,) or zeros.

    SpecError where the net has no linear layer, or where the last one registered is not what gives the logits.
    """

    def __init__(self, model: nn.Module) -> None:
        self._net = copy.deepcopy(model).eval()
        self._channels = input_channels(self._net)
        self._name, head = find_head(self._net, "this method reads the features before")
        self.weight = head.weight.detach().clone()
        self.bias = self.weight.new_zeros(len(self.weight)) if head.bias is None else head.bias.detach().clone()
        if self._name:
            self._net.set_submodule(self._name, nn.Identity())
        else:
            self._net = nn.Identity()

    def features(self, x: Tensor) -> Tensor:
        """Return features (N, F) of a window (N, …). DataError for one that no method can use."""
        check_window(x, self._channels)
        features: Tensor = self._net(x)
        if features.ndim != 2 or features.shape[1] != self.weight.shape[1]:
            raise SpecError(
                f"what comes before {self._name!r} has shape {tuple(features.shape)}, the layer reads "
                f"(N, {self.weight.shape[1]}); register the layer that gives the logits last"
            )
        return features

    def logits(self, features: Tensor) -> Tensor:
        """Return what the layer makes of features: (N, F) → (N, K)."""
        return features @ self.weight.T + self.bias
