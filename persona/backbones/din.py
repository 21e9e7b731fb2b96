"""DIN: each candidate looks at a user's last events by itself, and weighs them by how much they say about it.

Source: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018: a small net weighs each event
against the candidate, the weighted sum is not normalised. Ours also lets it know how many events ago that was.

There is no state that all candidates share, so a catalogue costs as many passes as it has items. DIN has `score` alone,
is trained on single negatives, and is for ranking some candidates, as in the protocol of its paper.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from persona.backbones.items import PADDING, checked, checked_candidates, item_table, without_padding


class DIN(nn.Module):
    """Attention of `hidden` inner numbers over windows of up to `length` events, then a layer of as many.

    Input windows (B, L ≤ length) and candidates (B, C); output scores (B, C).
    """

    def __init__(self, n_items: int, d: int = 32, length: int = 10, hidden: int = 32, dropout: float = 0.2) -> None:
        super().__init__()
        self.n_items, self.length = n_items, length
        self.items = item_table(n_items, d)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.event, self.candidate = nn.Linear(d, hidden), nn.Linear(d, hidden, bias=False)
        self.both = nn.Linear(d, hidden, bias=False)
        self.near = nn.Parameter(torch.zeros(length, hidden))  # by how many events ago
        self.weigh = nn.Linear(hidden, 1)
        self.inner, self.outer = nn.Linear(3 * d, hidden), nn.Linear(hidden, 1)
        self.act1, self.act2, self.drop = nn.PReLU(), nn.PReLU(), nn.Dropout(dropout)
        self.scale = d**0.5

    def forward(self, windows: Integer[Tensor, "b n"], candidates: Integer[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Return scores (B, C) of candidates, -inf for padding."""
        windows = checked(windows, self.n_items, self.length)
        candidates = checked_candidates(candidates, self.n_items)
        real = windows != PADDING
        events = self.drop(self.items(windows) * self.scale)  # (B, n, d)
        vectors = self.drop(self.items(candidates) * self.scale)  # (B, C, d)
        weights = self._weights(events, vectors) * real[:, None]  # (B, C, n)
        interest = weights @ events  # (B, C, d)
        inner = self.inner(torch.cat([interest, vectors, interest * vectors], dim=2))
        scores: Tensor = self.outer(self.drop(self.act2(inner))).squeeze(2)
        return scores + without_padding(self.bias)[candidates]

    def score(self, windows: Integer[Tensor, "b n"], candidates: Integer[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Return scores (B, C) of candidates, -inf for padding."""
        scores: Tensor = self(windows, candidates)
        return scores

    def _weights(self, events: Float[Tensor, "b n d"], vectors: Float[Tensor, "b c d"]) -> Float[Tensor, "b c n"]:
        """Return how much each event says about each candidate: a net on event, candidate, product and age."""
        n, (hidden, d) = events.shape[1], self.both.weight.shape
        crossed = (events[:, :, None] * self.both.weight).reshape(len(events), n * hidden, d)
        products = (vectors @ crossed.transpose(1, 2)).reshape(*vectors.shape[:2], n, hidden)  # (B, C, n, hidden)
        alone = self.event(events) + self.near[:n].flip(0)  # (B, n, hidden)
        inner = self.act1(products + alone[:, None] + self.candidate(vectors)[:, :, None])
        weights: Tensor = self.weigh(inner).squeeze(3)
        return weights
