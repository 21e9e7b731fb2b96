"""What the demo trains: a base on the first half of a log by time, a broadcast of what came since, and an adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from persona.adapters.heads.adapter import HeadAdapter
from persona.adapters.heads.broadcast import BroadcastMap
from persona.adapters.heads.forms import EditForm
from persona.adapters.heads.readers import PoolingReader
from persona.backbones.edited import Broadcast, EditedHead
from persona.backbones.sasrec import SASRec
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.splits import Ageing, first_half
from persona.training.broadcasts import BroadcastConfig, early_part, in_time, period_statistics, train_broadcast
from persona.training.event_features import EventFeatures
from persona.training.heads import HeadConfig, train_editor
from persona.training.loop import Progress, seeded
from persona.training.sequences import SequenceConfig, train_sequences

# Of the recent period, the part that is counted when the adapter is trained on the rest.
COUNTED = 0.5
# Of the adapter: fifteen thousand targets are few, and at four times this it is worse than no adapter after one epoch.
RATE = 5e-4


@dataclass(frozen=True)
class Sizes:
    """How large and how long: about three minutes on two cores, and seconds for `QUICK`."""

    d: int = 32
    epochs: int = 30
    broadcast_steps: int = 200
    adapter_epochs: int = 4
    code: int = 32
    side: int = 16
    reach: int = 200
    validated: int = 3000


FULL = Sizes()
QUICK = Sizes(d=16, epochs=2, broadcast_steps=20, adapter_epochs=1, code=8, side=4, reach=40, validated=300)


@dataclass(frozen=True, eq=False)
class Learnt:
    """The log, what was trained on it, what the base makes of its events, and queries by time.

    `recent` are the events between the base's training and validation; `curves` the validation NDCG@10 of base and
    adapter, epoch by epoch.
    """

    log: EventLog
    ageing: Ageing
    recent: Positions
    head: EditedHead
    adapter: HeadAdapter
    broadcast: Broadcast
    features: EventFeatures
    curves: dict[str, list[float]]


def learn(log: EventLog, sizes: Sizes, seed: int, progress: Callable[[str], Progress]) -> Learnt:
    """Train all three on a log with times; nothing of its last tenth is looked at.

    Of the validation queries one half chooses the base, the other what changes it: where a base was chosen it stands
    higher than elsewhere, and a change would seem worse than it is.
    """
    ageing = first_half(log)
    validation = ageing.stale.validation[1::2]
    stale = replace(ageing.stale, validation=ageing.stale.validation[::2])
    with seeded(seed):
        net = SASRec(log.n_items, d=sizes.d, length=10)
    config = SequenceConfig(epochs=sizes.epochs, learning_rate=3e-3, validated=sizes.validated, seed=seed)
    history = train_sequences(net, log, stale, config, progress("base"))
    with seeded(seed):
        head = EditedHead(net, side=sizes.side)
        reader = PoolingReader(net.table()[0], _texts(log), reach=sizes.reach)
        adapter = HeadAdapter(reader, EditForm(head), code=sizes.code)
        change = BroadcastMap()
    features = EventFeatures.of(head, log)
    trained = in_time(features, stale.train)
    recent = in_time(features, np.setdiff1d(ageing.fresh.train, stale.train))
    counted = BroadcastConfig(sizes.broadcast_steps, validated=sizes.validated, seed=seed)
    broadcast = train_broadcast(head, change, features, (trained, recent), validation, counted)
    early, later = early_part(recent, COUNTED)
    with torch.no_grad():
        before = change(period_statistics(head, features, early, trained))
    taught = HeadConfig(sizes.adapter_epochs, learning_rate=RATE, validated=sizes.validated, seed=seed)
    curve = train_editor(head, adapter, features, (np.sort(later), validation), taught, before)
    curves = {"base": history.validation, "adapter": curve}
    return Learnt(log, ageing, recent, head, adapter, broadcast, features, curves)


def _texts(log: EventLog) -> torch.Tensor | None:
    return None if log.vectors is None else torch.from_numpy(log.vectors)
