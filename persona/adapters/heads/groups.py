"""One edit a group of users, learnt with labels: per-group fine-tuning, the coarse and costly reference."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from persona.adapters.heads.forms import Form
from persona.adapters.heads.history import History
from persona.prototypes.cluster import fit_centres


class GroupEditor(nn.Module):
    """Users whose histories have near mean vectors share an edit; `centres` (G, d) say whose, `vectors` (I + 1, d)."""

    vectors: Tensor
    centres: Tensor

    def __init__(self, form: Form, vectors: Tensor, centres: Tensor, reach: int = 200) -> None:
        super().__init__()
        self.form, self.reach = form, reach
        self.register_buffer("vectors", vectors.detach().clone())
        self.register_buffer("centres", centres.clone())
        groups = len(centres)
        self.values = nn.ParameterList(torch.zeros(groups, *tensor.shape) for tensor in form.spec.tensors)

    def forward(self, history: History) -> dict[str, Tensor]:
        """Return deltas {name: (B, K, *shape)} of each target's group."""
        group = self.groups(history)
        pairs = zip(self.form.spec.tensors, self.values, strict=True)
        return {tensor.name: (tensor.bound * torch.tanh(values))[group] for tensor, values in pairs}

    def groups(self, history: History) -> Tensor:
        """Return the group (B, K) of each target."""
        return torch.cdist(mean_vectors(history, self.vectors, self.reach), self.centres).argmin(dim=-1)


def mean_vectors(history: History, vectors: Tensor, reach: int) -> Tensor:
    """Return the mean item vector (B, K, d) of each target's history, 0 where it is empty."""
    counts = history.counts(reach).to(vectors.dtype)
    return (counts @ vectors[history.items]) / counts.sum(dim=2, keepdim=True).clamp(min=1)


def centres_of(means: Tensor, groups: int, rng: np.random.Generator) -> Tensor:
    """Return the centres (G, d) of mean vectors (M, d)."""
    centres = fit_centres(means.numpy()[:, None], groups, rng).centres  # one layer's code each
    return torch.from_numpy(np.asarray(centres[:, 0], np.float32))
