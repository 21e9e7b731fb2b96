"""Which weights of a training stay: the queries to choose by, and the weights to go back to."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from persona.tasks.recommendation.events import Positions


def some_of(positions: Positions, most: int, seed: int) -> Positions:
    """Return all positions, or `most` of them drawn by a seed, sorted."""
    if len(positions) <= most:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, most, replace=False))


def weights_of(net: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a net's weights, as `load_state_dict` takes it."""
    return {name: value.detach().clone() for name, value in net.state_dict().items()}
