"""A generated head in the manner of DUET (Lv et al., WWW 2023): a window's features make the weights of the last layer.

The generated weights replace the layer; there is no base weight to fall back to and no bound on them.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.baselines.penultimate import find_head
from persona.baselines.windows import check_window, input_channels


class Duet(nn.Module):
    """A copy of a net whose last linear layer is generated from the mean and spread of the window's features.

    The generator starts at the net's own head, so that training begins where the other rows begin: its weights are
    zero, its bias is that head. SpecError where the net has no linear layer.
    """

    def __init__(self, model: nn.Module, width: int = 64) -> None:
        super().__init__()
        self.net = copy.deepcopy(model)
        name, head = find_head(self.net, "DUET generates")
        self.net.set_submodule(name, nn.Identity())
        self.classes, self.features = head.weight.shape
        self.encode = nn.Sequential(nn.Linear(2 * self.features, width), nn.LayerNorm(width), nn.ReLU())
        self.generate = nn.Linear(width, self.classes * (self.features + 1))
        with torch.no_grad():
            self.generate.weight.zero_()
            bias = torch.zeros(self.classes) if head.bias is None else head.bias
            self.generate.bias.copy_(torch.cat([head.weight, bias.unsqueeze(1)], dim=1).flatten())

    def head(self, features: Float[Tensor, "b s f"]) -> Float[Tensor, "b c f1"]:
        """Return the generated head (weights and bias) of B windows."""
        summary = torch.cat([features.mean(dim=1), features.std(dim=1, unbiased=False)], dim=1)
        generated: Tensor = self.generate(self.encode(summary))
        return generated.reshape(-1, self.classes, self.features + 1)

    def look(self, x: Float[Tensor, "b s ..."]) -> Float[Tensor, "b s f"]:
        """Return the features of B windows before the head."""
        features: Tensor = self.net(x.flatten(0, 1))
        return features.reshape(*x.shape[:2], -1)

    def forward(self, x: Float[Tensor, "b s ..."]) -> Float[Tensor, "b s c"]:
        """Return logits of B windows, each under its own generated head."""
        features = self.look(x)
        return apply_head(features, self.head(features))


class DuetMethod:
    """The trained net over one stream; between windows it answers with the head of the last one."""

    def __init__(self, trained: Duet) -> None:
        self._duet = trained.eval()
        self._channels = input_channels(trained.net)
        self._head: Tensor | None = None

    @torch.no_grad()
    def step(self, x: Tensor) -> Tensor:
        """Answer (N, C) with the head that this window generates, and keep it. DataError for an unusable window."""
        check_window(x, self._channels)
        features = self._duet.look(x.unsqueeze(0))
        self._head = self._duet.head(features)
        return apply_head(features, self._head)[0]

    @torch.no_grad()
    def answer(self, x: Tensor) -> Tensor:
        """Answer (N, C) with the last head; before the first window with the generator's bias, the trained head.

        DataError for an unusable window.
        """
        check_window(x, self._channels)
        head = self._head
        if head is None:
            head = self._duet.generate.bias.reshape(1, self._duet.classes, -1)
        return apply_head(self._duet.look(x.unsqueeze(0)), head)[0]


def apply_head(features: Float[Tensor, "b s f"], head: Float[Tensor, "b c f1"]) -> Float[Tensor, "b s c"]:
    """Return logits of windows under a head each: its last column is the bias."""
    return features @ head[:, :, :-1].transpose(1, 2) + head[:, :, -1].unsqueeze(1)
