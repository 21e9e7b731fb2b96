"""What the rows of one seed share: the world, the trained bases, what a base makes of every event, the broadcast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from persona.adapters.heads.adapter import HeadEditor
from persona.adapters.heads.broadcast import BroadcastMap
from persona.backbones.edited import Broadcast, EditedHead
from persona.bench.recommendation.plan import CEILING, PAPER_NEGATIVES, SPLIT_SEED, Plan
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
        protocol: dict[str, Any] = {"loss": "negatives", "negatives": PAPER_NEGATIVES} if self.plan.paper else {}
        config = SequenceConfig(
            epochs=s.epochs, learning_rate=s.learning_rate, stride=s.stride, batch=s.batch, patience=s.patience,
            seed=self.seed, **protocol,
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
        """Return what an editor learns from: the base's own events, or those since it was trained.

        Where they are many, those of some users, the same for every editor and seed.
        """
        ageing, log = self.ageing, self.world.log
        found = np.sort(early_part(self.world.recent, SHARE_BEFORE)[1]) if ageing else self.world.base.train
        order = np.random.default_rng(SPLIT_SEED).permutation(log.n_users)
        events = np.cumsum(np.bincount(log.users[found], minlength=log.n_users)[order])
        kept = np.zeros(log.n_users, bool)
        kept[order[: max(1, int(np.searchsorted(events, self.plan.learnt, side="right")))]] = True
        some: Positions = found[kept[log.users[found]]]
        return some if len(some) else found

    def fitted(
        self,
        make: Callable[[EditedHead], HeadEditor],
        then: Callable[[HeadEditor], HeadEditor] | None = None,
        *,
        level: bool = True,
    ) -> tuple[EditedHead, HeadEditor]:
        """Return a head and an editor of it, the best of the plan's grid by the world's `choosing` queries.

        Where the base is stale, it is trained on top of the broadcast if `level`. What `then` makes of the best editor
        is trained as long again, at the same rate.
        """
        tried: list[tuple[float, float, EditedHead, HeadEditor]] = []
        for rate in self.plan.rates:
            head = self.head()
            with seeded(self.seed):
                editor = make(head)
            tried.append((self.taught(head, editor, rate, level=level), rate, head, editor))
        _, rate, head, editor = max(tried, key=lambda one: one[0])
        if then is not None:
            editor = then(editor)
            self.taught(head, editor, rate, level=level)
        return head, editor

    def taught(self, head: EditedHead, editor: HeadEditor, rate: float, *, level: bool = True) -> float:
        """Train a head and an editor of it at a learning rate; return NDCG@10 of the epoch that stays."""
        split = (self.learnt_from(), self.world.choosing)
        config = HeadConfig(
            self.plan.epochs, learning_rate=rate, validated=self.plan.chosen, seed=self.seed,
            negatives=PAPER_NEGATIVES if self.plan.paper else 0,
        )  # fmt: skip
        change = self.early_broadcast if self.ageing and level else None
        return max(train_editor(head, editor, self.features, split, config, change))

    def change(self, *, vectors: bool = True) -> tuple[BroadcastMap, Broadcast]:
        """Return a trained map, and what it makes of the whole recent period."""
        with seeded(self.seed):
            found = BroadcastMap(vectors=vectors)
        config = BroadcastConfig(self.plan.broadcast_steps, validated=self.plan.chosen, seed=self.seed)
        periods = (self.world.base.train, self.world.recent)
        return found, train_broadcast(self.head(), found, self.features, periods, self.world.choosing, config)

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
