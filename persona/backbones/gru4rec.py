"""GRU4Rec: a gated recurrent net over the last events of a user.

Source: Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016. Ours is trained on
all events of a window, and the items' vectors are read from and scored against, with a bias.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from persona.backbones.items import PADDING, candidate_scores, catalogue_scores, checked, item_table


class GRU4Rec(nn.Module):
    """`blocks` recurrent layers of `hidden` numbers, projected to `d` numbers a state.

    Input windows (B, L ≤ length); output states (B, L, d), as `persona.backbones.items` describes them.
    """

    def __init__(
        self, n_items: int, d: int = 64, length: int = 50, blocks: int = 1, hidden: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.n_items, self.length = n_items, length
        self.items = item_table(n_items, d)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.gru = nn.GRU(d, hidden, blocks, batch_first=True, dropout=dropout if blocks > 1 else 0.0)
        self.out, self.norm, self.drop = nn.Linear(hidden, d), nn.LayerNorm(d), nn.Dropout(dropout)
        self.d = d

    def forward(self, windows: Integer[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Return the state (B, L, d) after each event.

        Events move to the left for the recurrence, so that it starts at the first of them, and back afterwards.
        """
        windows = checked(windows, self.n_items, self.length)
        n = windows.shape[1]
        real = windows != PADDING
        places, padding = torch.arange(n, device=windows.device), n - real.sum(dim=1, keepdim=True)
        x = self.drop(self.items(windows.gather(1, (places + padding) % n)) * self.d**0.5)
        x = self.norm(self.out(self.drop(self.gru(x)[0])))
        back = ((places - padding) % n)[..., None].expand_as(x)
        states: Tensor = x.gather(1, back) * real[..., None]
        return states

    def state(self, windows: Integer[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """Return the state (B, d) after the last event."""
        last: Tensor = self(windows)[:, -1]
        return last

    def scores(self, states: Float[Tensor, "... d"]) -> Float[Tensor, "... i"]:
        """Return scores (…, I + 1) of the whole catalogue, -inf for padding."""
        return catalogue_scores(states, self.items, self.bias)

    def score(self, windows: Integer[Tensor, "b n"], candidates: Integer[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Return scores (B, C) of candidates (B, C)."""
        return candidate_scores(self.state(windows), candidates, self.items, self.bias)

    def table(self) -> tuple[Tensor, Tensor]:
        """Return the vectors (I + 1, d) and biases (I + 1,) that states are scored against."""
        return self.items.weight, self.bias
