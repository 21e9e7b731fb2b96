"""The kept settings of sequence bases."""

from __future__ import annotations

import pytest
import torch

from persona.backbones.items import CandidateBackbone
from persona.errors import TrainingError
from persona.training.sequence_bases import BASES, base_of


@pytest.mark.parametrize("name", sorted(BASES))
def test_every_base_can_be_built_and_is_the_same_from_one_seed(name: str) -> None:
    nets = [base_of(name).seeded_by(seed).build(30) for seed in (0, 0, 1)]
    assert isinstance(nets[0], CandidateBackbone)
    assert nets[0].n_items == 30
    states = [torch.cat([p.detach().flatten() for p in net.parameters()]) for net in nets]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_base_without_settings_is_refused() -> None:
    with pytest.raises(
        TrainingError, match="no settings of a base 'ml-1m/bert'; there are amazon_beauty/sasrec, ml-1m/"
    ):
        base_of("ml-1m/bert")
