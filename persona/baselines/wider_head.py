"""A control: the plain net with as many more parameters as an adapter has, beside its head, and no adaptation."""

from __future__ import annotations

import copy

from jaxtyping import Float
from torch import Tensor, nn

from persona.baselines.penultimate import find_head
from persona.errors import SpecError


class WiderHead(nn.Module):
    """A copy of a net whose last linear layer has a hidden layer beside it, of about `extra` parameters.

    It starts as the net given: what the hidden layer adds is zero. SpecError where the net has no linear layer, or
    `extra` is too few for one hidden unit.
    """

    def __init__(self, model: nn.Module, extra: int) -> None:
        super().__init__()
        self.net = copy.deepcopy(model)
        name, head = find_head(self.net, "a wider head stands beside")
        width = extra // (head.in_features + head.out_features + 1)
        if width < 1:
            raise SpecError(f"{extra} parameters are too few for a hidden unit beside {name!r}")
        self.net.set_submodule(name, _Beside(head, width))

    def forward(self, x: Float[Tensor, "n ..."]) -> Float[Tensor, "n c"]:
        """Return logits (N, C)."""
        logits: Tensor = self.net(x)
        return logits


class _Beside(nn.Module):
    def __init__(self, head: nn.Linear, width: int) -> None:
        super().__init__()
        self.head, self.hidden = head, nn.Linear(head.in_features, width)
        self.out = nn.Linear(width, head.out_features, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, features: Tensor) -> Tensor:
        plain: Tensor = self.head(features)
        more: Tensor = self.out(self.hidden(features).relu())
        return plain + more
