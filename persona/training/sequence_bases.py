"""Settings of base models of sequences, one a base; what they have shown is in benchmarks/recommendation/notes.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import nn

from persona import catalog
from persona.errors import TrainingError
from persona.training.loop import seeded
from persona.training.sequences import SequenceConfig


@dataclass(frozen=True)
class SequenceBase:
    """A backbone's catalogue name, its sizes, and how it is trained."""

    backbone: str
    sizes: Mapping[str, float]
    config: SequenceConfig = field(default_factory=SequenceConfig)

    def build(self, n_items: int) -> nn.Module:
        """Return the net with fresh weights, from the config's seed."""
        with seeded(self.config.seed):
            net: nn.Module = catalog.load("backbones", self.backbone)(n_items, **self.sizes)
        return net

    def seeded_by(self, seed: int) -> SequenceBase:
        """Return the same settings with another seed."""
        return replace(self, config=replace(self.config, seed=seed))


# By data set and base; `benchmarks/recommendation/bases.py` trains and measures one.
BASES: dict[str, SequenceBase] = {
    "amazon_beauty/sasrec": SequenceBase(
        "sasrec", {"d": 64, "length": 50, "dropout": 0.5}, SequenceConfig(epochs=25, learning_rate=3e-3)
    ),
    "ml-1m/sasrec": SequenceBase(
        "sasrec", {"d": 64, "length": 50, "dropout": 0.2}, SequenceConfig(epochs=20, learning_rate=3e-3)
    ),
}


def base_of(name: str) -> SequenceBase:
    """Return the settings of a base, ``data set/base``; TrainingError for a name that there is none of."""
    if name not in BASES:
        raise TrainingError(f"there are no settings of a base {name!r}; there are {', '.join(BASES)}")
    return BASES[name]
