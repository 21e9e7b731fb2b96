"""What the rows of one seed share: the world, the trained bases, what a base makes of every event, the broadcast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from persona.adapters.heads.adapter import HeadEditor
from persona.adapters.heads.broadcast import BroadcastMap
from persona.backbones.edited import Broadcast, EditedHead
from persona.bench.recommendation.plan import CEILING, Plan
from persona.bench.recommendation.worlds import World
from persona.tasks.recommendation.events import Positions
from persona.tasks.recommendation.splits import Split
from persona.training.broadcasts import BroadcastConfig, early_part, period_statistics, train_broadcast
from persona.training.event_features import EventFeatures
from persona.training.heads import HeadConfig, train_editor
from persona.training.loop import seeded
from persona.training.sequence_bases import SequenceBase
from persona.training.sequences import SequenceConfig, train_sequences

MORE_EPOCHS = 5  # of the base that is trained on
SHARE_BEFORE = 0.5  # of the recent period: a broadcast for training the personal level is made of what comes before


@dataclass(frozen=True, eq=False)
class Workbench:
    """One seed of a plan in its world; nets are kept under `nets` and not trained again."""

    plan: Plan
    world: World
    seed: int
    nets: Path

    @cached_property
    def base(self) -> nn.Module:
        """The base that is edited."""
        return self.trained("base", self.settings(), self.world.base)

    @cached_property
    def features(self) -> EventFeatures:
        """What the base makes of every event."""
        return EventFeatures.of(self.head(), self.world.log)

    @cached_property
    def texts(self) -> Tensor | None:
        """The items' text vectors, None where the data has none."""
        vectors = self.world.log.vectors
        return None if vectors is None else torch.from_numpy(vectors)

    @property
    def ageing(self) -> bool:
        """Whether the base is stale, and there is a recent period."""
        return self.plan.setting == "stale"

    def settings(self, **sizes: float) -> SequenceBase:
        """Return how the base is made, with some sizes changed."""
        s = self.plan.sizes
        config = SequenceConfig(
            epochs=s.epochs, learning_rate=s.learning_rate, stride=s.stride, batch=s.batch, patience=s.patience,
            seed=self.seed,
        )  # fmt: skip
        return SequenceBase("sasrec", {"d": s.d, "length": s.length, "dropout": s.dropout, **sizes}, config)

    def trained(self, name: str, base: SequenceBase, split: Split) -> nn.Module:
        """Return a base trained on a split, kept as NAME."""
        net = base.build(self.world.log.n_items)
        train_sequences(net, self.world.log, split, base.config, folder=self.nets / name)
        return net.eval()

    def longer(self) -> nn.Module:
        """Return the base trained for some epochs more, at a lower rate."""
        base = self.settings()
        config = replace(base.config, epochs=MORE_EPOCHS, learning_rate=base.config.learning_rate / 3)
        net = base.build(self.world.log.n_items)
        net.load_state_dict(self.base.state_dict())
        train_sequences(net, self.world.log, self.world.base, config, folder=self.nets / "base-more")
        return net.eval()

    def ceiling(self) -> nn.Module:
        """Return a base whose window holds as much as an adapter reads; every event is a target of a whole window."""
        base = self.settings(length=CEILING, d=max(64, self.plan.sizes.d))
        config = replace(base.config, stride=0, batch=32)
        return self.trained("ceiling", replace(base, config=config), self.world.base)

    def head(self) -> EditedHead:
        """Return a fresh head on the base."""
        with seeded(self.seed):
            return EditedHead(self.base)

    def learnt_from(self) -> Positions:
        """Return what an editor learns from: the base's own events, or those since it was trained."""
        return np.sort(early_part(self.world.recent, SHARE_BEFORE)[1]) if self.ageing else self.world.base.train

    def fitted(self, make: Callable[[EditedHead], HeadEditor], *, level: bool = True) -> tuple[EditedHead, HeadEditor]:
        """Return a head and a trained editor of it; where the base is stale, on top of the broadcast if `level`."""
        head = self.head()
        with seeded(self.seed):
            editor = make(head)
        split = (self.learnt_from(), self.world.base.validation)
        config = HeadConfig(self.plan.epochs, validated=self.plan.validated, seed=self.seed)
        change = self.early_broadcast if self.ageing and level else None
        train_editor(head, editor, self.features, split, config, change)
        return head, editor

    def change(self, *, vectors: bool = True) -> tuple[BroadcastMap, Broadcast]:
        """Return a trained map, and what it makes of the whole recent period."""
        with seeded(self.seed):
            found = BroadcastMap(vectors=vectors)
        config = BroadcastConfig(self.plan.broadcast_steps, validated=self.plan.validated, seed=self.seed)
        periods = (self.world.base.train, self.world.recent)
        return found, train_broadcast(self.head(), found, self.features, periods, self.world.base.validation, config)

    @cached_property
    def _broadcast(self) -> tuple[BroadcastMap, Broadcast]:
        return self.change()

    @cached_property
    def broadcast(self) -> Broadcast:
        """The broadcast of the whole recent period."""
        return self._broadcast[1]

    @cached_property
    def early_broadcast(self) -> Broadcast:
        """The same map's broadcast of the earlier part of the period, whose targets are not those of the editor."""
        early = early_part(self.world.recent, SHARE_BEFORE)[0]
        statistics = period_statistics(self.head(), self.features, early, self.world.base.train)
        with torch.no_grad():
            made: Broadcast = self._broadcast[0](statistics)
        return made
