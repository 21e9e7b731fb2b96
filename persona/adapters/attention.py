"""One small attention block in which the layers of a model ask a context, and one another."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, TOKENS = 32, 2, 4


class LayerAttention(nn.Module):
    """Context u (B, h) and descriptions of n layers (n, e) → one state a layer (B, n, 32).

    Scaled dot-product attention (Vaswani et al., NeurIPS 2017, §3.2) over normalised tokens, with a residual and a
    feed-forward layer behind it. Keys have no bias: a softmax does not feel one.
    """

    def __init__(self, context: int, description: int) -> None:
        super().__init__()
        self.width = WIDTH
        self.tokens = nn.Linear(context, TOKENS * WIDTH)
        self.layers = nn.Linear(description, WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.join = nn.Linear(WIDTH, WIDTH)
        self.feed = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, context: Float[Tensor, "b h"], layers: Float[Tensor, "n e"]) -> Float[Tensor, "b n a"]:
        """Return what each layer makes of the context and of the other layers."""
        batch = context.shape[0]
        asking = F.layer_norm(self.layers(layers), (WIDTH,)).expand(batch, -1, -1)  # (B, n, a)
        tokens = F.layer_norm(self.tokens(context).reshape(batch, TOKENS, WIDTH), (WIDTH,))
        heard = torch.cat([tokens, asking], dim=1)  # (B, 4 + n, a)
        query, key, value = (_split(x) for x in (self.query(asking), self.key(heard), self.value(heard)))
        share = F.softmax(query @ key.transpose(2, 3) * (WIDTH // HEADS) ** -0.5, dim=3)  # (B, 2, n, 4 + n)
        answers = (share @ value).transpose(1, 2).flatten(2)  # (B, n, a)
        state = asking + self.join(answers)
        grown: Tensor = state + self.feed(state)
        return grown


def _split(rows: Float[Tensor, "b n a"]) -> Float[Tensor, "b heads n each"]:
    return rows.reshape(rows.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)
