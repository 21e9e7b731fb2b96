"""Histories → contexts: attention pooling over up to 200 events, or the recurrent reader of the public recipe."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from persona.adapters.heads.history import AGES, History

_NEARNESS = 5  # functions of distance and age


@runtime_checkable
class Reader(Protocol):
    """A module that makes a context (B, K, width) of a history; `reach` is how many events it reads."""

    width: int
    reach: int

    def __call__(self, history: History) -> Tensor:
        """Return contexts (B, K, width): nothing after a target, no padding and no other row has a share in one."""
        ...


class PoolingReader(nn.Module):
    """Attention pooling without recurrence: `heads` learned questions to every event, nearer ones by a learned bias.

    An event is its item's vector, what surprised the base about it, its item's text vector where there is one, and its
    age. `vectors` (I + 1, d) and `texts` (I + 1, D) or None are the start and the fixed part of what is read.
    """

    texts: Tensor | None

    def __init__(
        self, vectors: Tensor, texts: Tensor | None = None, reach: int = 200, heads: int = 8, dropout: float = 0.3
    ) -> None:
        super().__init__()
        d = vectors.shape[1]
        self.reach, self.heads, self.width = reach, heads, 2 * d
        self.items = nn.Embedding.from_pretrained(vectors.detach().clone(), freeze=False, padding_idx=0)
        self.register_buffer("texts", None if texts is None else texts.clone())
        self.of_text = None if texts is None else nn.Linear(texts.shape[1], d, bias=False)
        self.norm = nn.LayerNorm(2 * d)
        self.value, self.ask = nn.Linear(2 * d, heads * d // 2), nn.Linear(2 * d, heads)
        start = torch.zeros(_NEARNESS, heads)
        start[0] = -torch.linspace(0, 1, heads)  # from heads that pool everything alike to some that ask the latest
        self.near = nn.Parameter(start)
        self.drop, self.out = nn.Dropout(dropout), nn.Linear(heads * d // 2 + 1, self.width)

    def forward(self, history: History) -> Float[Tensor, "b k width"]:
        """Return contexts (B, K, width); of an empty history the same for everybody."""
        counts = history.counts(self.reach)
        event = self.items(history.items)
        if self.of_text is not None and self.texts is not None:
            event = event + self.of_text(self.texts[history.items])
        event = self.drop(self.norm(torch.cat([event, history.surprise], dim=2)))
        logits = self.ask(event)[:, None] + self._nearness(history) @ self.near
        weights = logits.masked_fill(~counts[..., None], -1e4).softmax(dim=2) * counts[..., None]  # (B, K, N, H)
        value = self.value(event).unflatten(2, (self.heads, -1))
        pooled = torch.einsum("bknh,bnhv->bkhv", weights, value).flatten(2)
        known = counts.sum(dim=2, keepdim=True).float().log1p() / math.log1p(self.reach)
        context: Tensor = self.out(self.drop(torch.cat([nn.functional.gelu(pooled), known], dim=2)))
        return context

    def _nearness(self, history: History) -> Float[Tensor, "b k n f"]:
        """Return what a head's interest in an event may depend on beside the event itself, as numbers of about 1."""
        distance = history.distance.clamp(1, self.reach).float()
        age = history.ages.float() / AGES
        return torch.stack([distance.log(), distance / self.reach, (distance <= 10).float(), age, age * age], dim=3)


class RecurrentReader(nn.Module):
    """The public recipe's: a recurrent net over the events that the device has as well, the last `reach` of them."""

    def __init__(self, vectors: Tensor, reach: int = 10) -> None:
        super().__init__()
        d = vectors.shape[1]
        self.reach, self.width = reach, 2 * d
        self.items = nn.Embedding.from_pretrained(vectors.detach().clone(), freeze=False, padding_idx=0)
        self.gru = nn.GRU(d, self.width, batch_first=True)

    def forward(self, history: History) -> Float[Tensor, "b k width"]:
        """Return contexts (B, K, width): the state after the last event of each target's window."""
        b, k, n = history.distance.shape
        wanted = torch.arange(self.reach, 0, -1, device=history.items.device)
        places = history.distance[..., -1:] + n - 1 - wanted  # (B, K, reach): distances fall by 1 from key to key
        items = history.items[:, None].expand(b, k, n).gather(2, places.clamp(0, n - 1))
        items = items * ((places >= 0) & (places < n))
        real = (items != 0).sum(dim=2, keepdim=True)
        at = torch.arange(self.reach, device=items.device).expand_as(items)
        packed = items.gather(2, (at + self.reach - real) % self.reach).flatten(0, 1)  # the first event first
        states, _ = self.gru(self.items(packed))
        last = (real.flatten(0, 1) - 1).clamp(min=0)[..., None].expand(-1, 1, self.width)
        context: Tensor = states.gather(1, last).reshape(b, k, -1) * (real > 0)
        return context
