"""Training of the prior term, last of all, on the logits of a trained learner (method §4).

Half of the episodes have even classes and half a mix of their own; some are given another episode's history, as after
a switch that nobody noticed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.edit import Array
from persona.prior import FEATURES, PriorNet, PriorState, class_features
from persona.tasks.base import Episodes
from persona.training.loop import seeded
from persona.training.step import Learner, to_tensors

HIDDEN, STEPS, RATE, BATCH = 32, 1500, 3e-3, 64
# The share of training episodes whose history is another's.
STRANGE_HISTORY = 0.15


@dataclass(frozen=True, eq=False)
class PriorEpisodes:
    """What the net is trained on: features (E, C, 7) with logits (E, Q, C) and labels (E, Q)."""

    features: Array
    logits: Array
    labels: npt.NDArray[np.int64]


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(FEATURES, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.third = nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.third.weight)
        nn.init.zeros_(self.third.bias)

    def forward(self, features: Tensor) -> Tensor:
        x = self.second(self.first(features).relu()).relu()
        out: Tensor = self.third(x).squeeze(-1)
        return out - out.mean(dim=-1, keepdim=True)

    def to_numpy(self) -> PriorNet:
        arrays: dict[str, Array] = {}
        for number, layer in enumerate((self.first, self.second, self.third), start=1):
            arrays[f"w{number}"] = layer.weight.detach().numpy().T.copy()
            arrays[f"b{number}"] = layer.bias.detach().numpy().copy()
        return PriorNet(arrays)


def train_prior(episodes: PriorEpisodes, seed: int, steps: int = STEPS) -> PriorNet:
    """Return a net trained to make the biased logits right; at its start it adds nothing."""
    features, logits = torch.from_numpy(episodes.features), torch.from_numpy(episodes.logits)
    labels = torch.from_numpy(episodes.labels)
    rng = np.random.default_rng(seed)
    with seeded(seed):
        net = _Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.integers(len(labels), size=BATCH))
        biased = logits[chosen] + net(features[chosen]).unsqueeze(1)
        loss = F.cross_entropy(biased.flatten(0, 1), labels[chosen].flatten())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        rate.step()
    return net.to_numpy()


@torch.no_grad()
def collect_prior_episodes(
    learner: Learner, sources: tuple[Episodes, ...], count: int, rng: np.random.Generator
) -> PriorEpisodes:
    """Return at least `count` episodes, drawn from the sources in turn: the support is history, the query is predicted.

    Both windows run under their own edit, as a device runs them.
    """
    past: list[Array] = []
    present: list[Array] = []
    labels: list[npt.NDArray[np.int64]] = []
    turn = 0
    while sum(len(part) for part in labels) < count:
        batch = sources[turn % len(sources)].sample(rng)
        turn += 1
        for rows, samples, y in (
            (past, batch.support, batch.support_labels), (present, batch.query, batch.query_labels)
        ):  # fmt: skip
            x, targets = to_tensors(samples, y)
            seen = learner.see(x)
            rows.append(
                learner.run(x.flatten(0, 1), learner.learned(seen.codes)).logits.reshape(*x.shape[:2], -1).numpy()
            )
        labels.append(targets.numpy())
    history, logits = np.concatenate(past), np.concatenate(present)
    strange = rng.random(len(history)) < STRANGE_HISTORY
    history[strange] = history[np.roll(np.flatnonzero(strange), 1)]
    return PriorEpisodes(_features(history, logits, rng), logits, np.concatenate(labels))


def _features(history: Array, logits: Array, rng: np.random.Generator) -> Array:
    """Return features of each episode; a fifth of the devices have no history yet."""
    rows = []
    for before, now in zip(history, logits, strict=True):
        state = PriorState.empty(logits.shape[2])
        if rng.random() > 0.2:
            state = state.after(before)
        rows.append(class_features(state.after(now), now))
    return np.stack(rows)
