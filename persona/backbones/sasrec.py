"""SASRec: causal self-attention over the last events of a user.

Source: Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. Ours knows how far apart two events
are, by a learned bias for each distance and head (Raffel et al., JMLR 2020, section 2.1), rather than where in the
window they stand: every event of a window is trained on under the conditions that the last one meets when asked.
Normalisation comes before each part, and the items' vectors are read from and scored against, with a bias.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from persona.backbones.items import PADDING, candidate_scores, catalogue_scores, checked, item_table
from persona.errors import SpecError

WIDER = 4  # a block's inner layer against its state


class Block(nn.Module):
    """Attention to what came before, then a layer for each event alone, both added to the state."""

    def __init__(self, d: int, length: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.near = nn.Parameter(torch.zeros(heads, length))  # by distance, 0 for the event itself
        self.inner, self.outer = nn.Linear(d, WIDER * d), nn.Linear(WIDER * d, d)
        self.act, self.drop = nn.GELU(), nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b n d"], hidden: Bool[Tensor, "b 1 m n"]) -> Float[Tensor, "b m d"]:
        """Return the states after the block of the last m events; `hidden` says what they may not attend to."""
        m = hidden.shape[2]
        normal = self.norm1(x)
        x = x[:, -m:] + self.drop(self.out(self._attend(normal, hidden)))
        out: Tensor = x + self.drop(self.outer(self.act(self.inner(self.norm2(x)))))
        return out

    def _attend(self, x: Tensor, hidden: Tensor) -> Tensor:
        b, n, d = x.shape
        m = hidden.shape[2]
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, n, d/H)
        places = torch.arange(n, device=x.device)
        apart = (places[-m:, None] - places).clamp(min=0)
        weights = (q[:, :, -m:] * (d // self.heads) ** -0.5) @ k.transpose(-2, -1) + self.near[:, apart]
        weights = self.drop(weights.masked_fill(hidden, -torch.inf).softmax(dim=-1))  # (B, H, m, n)
        mixed: Tensor = (weights @ v).transpose(1, 2).reshape(b, m, d)
        return mixed


class SASRec(nn.Module):
    """Blocks of causal attention with `d` numbers a state, over windows of up to `length` events.

    Input windows (B, L ≤ length); output states (B, L, d), as `persona.backbones.items` describes them. SpecError where
    the heads do not divide d, or there is no block.
    """

    def __init__(
        self, n_items: int, d: int = 64, length: int = 50, blocks: int = 2, heads: int = 2, dropout: float = 0.2
    ) -> None:
        super().__init__()
        if d % heads or blocks < 1:
            raise SpecError(
                f"SASRec of {d} numbers a state has {heads} heads and {blocks} blocks; wanted heads that divide {d}, "
                "and at least one block"
            )
        self.n_items, self.length = n_items, length
        self.items = item_table(n_items, d)
        self.bias = nn.Parameter(torch.zeros(n_items + 1))
        self.blocks = nn.ModuleList(Block(d, length, heads, dropout) for _ in range(blocks))
        self.norm, self.drop = nn.LayerNorm(d), nn.Dropout(dropout)
        self.d = d

    def forward(self, windows: Integer[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Return the state (B, L, d) after each event."""
        return self._states(windows, last=False)

    def state(self, windows: Integer[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """Return the state (B, d) after the last event."""
        return self._states(windows, last=True)[:, -1]

    def _states(self, windows: Tensor, *, last: bool) -> Tensor:
        """Return the states after each event; the last block works for the last one alone where no other is wanted."""
        windows = checked(windows, self.n_items, self.length)
        n = windows.shape[1]
        real = windows != PADDING
        itself = torch.eye(n, dtype=torch.bool, device=windows.device)
        before = torch.ones_like(itself).tril() & real[:, None, :]  # (B, n, n): by row who looks, by column at whom
        hidden = ~(before | itself)[:, None]
        x = self.drop(self.items(windows) * self.d**0.5)
        for block in self.blocks[:-1]:
            x = block(x, hidden)
        x = self.blocks[-1](x, hidden[:, :, -1:] if last else hidden)
        states: Tensor = self.norm(x) * real[:, -x.shape[1] :, None]
        return states

    def scores(self, states: Float[Tensor, "... d"]) -> Float[Tensor, "... i"]:
        """Return scores (…, I + 1) of the whole catalogue, -inf for padding."""
        return catalogue_scores(states, self.items, self.bias)

    def score(self, windows: Integer[Tensor, "b n"], candidates: Integer[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Return scores (B, C) of candidates (B, C)."""
        return candidate_scores(self.state(windows), candidates, self.items, self.bias)

    def table(self) -> tuple[Tensor, Tensor]:
        """Return the vectors (I + 1, d) and biases (I + 1,) that states are scored against."""
        return self.items.weight, self.bias
