"""Groups of users: centres are found where the users are."""

from __future__ import annotations

import numpy as np
import torch

from persona.adapters.heads.groups import centres_of


def test_centres_are_those_of_users_that_stand_apart() -> None:
    rng = np.random.default_rng(0)
    truth = np.float32([[5, 0, 0], [0, 5, 0], [0, 0, 5]])
    means = truth[rng.integers(3, size=90)] + rng.normal(0, 0.01, (90, 3)).astype(np.float32)
    centres = centres_of(torch.from_numpy(means), 3, rng)
    assert centres.shape == (3, 3)
    assert centres.dtype == torch.float32
    found = centres.numpy()[np.argsort(-centres.numpy() @ np.float32([3, 2, 1]))]
    np.testing.assert_allclose(found, truth, atol=0.02)
