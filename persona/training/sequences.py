"""Training of a sequence backbone on a log of events: epochs over packed windows, early stopping on validation NDCG@10.

Each epoch rolls dice of its own, made of the seed and its number: a run that was cut off goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from persona.backbones.items import CandidateBackbone
from persona.errors import TrainingError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.metrics import gains
from persona.tasks.recommendation.splits import Split
from persona.training.choosing import some_of, weights_of
from persona.training.loop import Progress, adamw_of, descend, seeded
from persona.training.packing import Packing
from persona.training.ranking import check_catalogue, rank_queries
from persona.training.seen import SeenItems
from persona.training.sequence_checkpoint import Snapshot, read_snapshot, write_snapshot
from persona.training.sequence_losses import FullSoftmax, Negatives, SampledSoftmax, SequenceLoss

VALIDATED_AT = 10
LEAST_RATE = 0.1  # of the learning rate, at the end


@dataclass(frozen=True)
class SequenceConfig:
    """How a sequence backbone is trained: AdamW, a linear warm-up, then a cosine down to a tenth of the rate.

    `loss`: "full" softmax, "sampled" softmax over `samples` items, or "negatives", `negatives` a target. `mask` leaves
    what a user has seen out of every loss, and out of validation. `batch` windows of up to the net's length make a
    step, each with the next `stride` targets (the whole window, if 0). Validation comes after every epoch, by at most
    `validated` queries; `patience` epochs without a better one end the training.
    """

    loss: Literal["full", "sampled", "negatives"] = "full"
    samples: int = 512
    negatives: int = 1
    mask: bool = True
    epochs: int = 40
    patience: int = 5
    batch: int = 128
    stride: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.05
    validated: int = 20_000
    seed: int = 0


@dataclass
class SequenceHistory:
    """What training left behind: each epoch's mean loss and validation NDCG@10, and the epoch whose weights stay."""

    losses: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The epoch, from 0, with the best validation."""
        return int(np.argmax(self.validation))

    def ended(self, config: SequenceConfig) -> bool:
        """Whether there is nothing left to do."""
        done = len(self.validation)
        return done >= config.epochs or (done > 0 and done - 1 - self.best >= config.patience)


def train_sequences(
    net: nn.Module,
    log: EventLog,
    split: Split,
    config: SequenceConfig = SequenceConfig(),
    progress: Progress | None = None,
    folder: Path | None = None,
) -> SequenceHistory:
    """Train a sequence backbone in place on a split's training events, and leave it the weights of the best epoch.

    Where a `folder` is given, every epoch is kept there, and training goes on from what it holds. TrainingError where
    nothing can be trained on or chosen by, a loss is not finite, or the folder holds another run; DataError where log
    and net do not fit.
    """
    if config.epochs < 1 or config.batch < 1:
        raise TrainingError(f"{config.epochs} epochs of batches of {config.batch} windows do nothing; give at least 1")
    course = _Course(_backbone(net, log), log, split, config)
    best: Mapping[str, Tensor] = {}
    history = SequenceHistory()
    with seeded(config.seed):
        if folder is not None and (kept := read_snapshot(folder, net, course.optimizer, course.facts())) is not None:
            history, best, course.steps = SequenceHistory(kept.losses, kept.validation), kept.best, kept.steps
        while not history.ended(config):
            history.losses.append(course.epoch(len(history.losses), progress))
            history.validation.append(course.validate())
            if history.best == len(history.validation) - 1:
                best = weights_of(net)
            if folder is not None:
                kept = Snapshot(best, history.losses, history.validation, course.steps)
                write_snapshot(folder, net, course.optimizer, kept, course.facts())
    net.load_state_dict(best)
    net.eval()
    return history


class _Course:
    """What every epoch of a training needs: the windows, the loss, the optimizer, how many steps are behind it."""

    def __init__(self, net: CandidateBackbone, log: EventLog, split: Split, config: SequenceConfig) -> None:
        self.net, self.log, self.config, self.steps = net, log, config, 0
        self.packing = Packing(log, split.train, net.length, config.stride or net.length)
        self.seen = SeenItems(log) if config.mask else None
        self.loss = _loss(config, log, split, self.seen)
        self.total = self.packing.count(config.batch) * config.epochs
        self.optimizer = adamw_of(net.parameters(), config.learning_rate, config.weight_decay)
        if not len(split.validation):
            raise TrainingError("the split has no validation queries to choose an epoch by; give some")
        self.asked = some_of(split.validation, config.validated, config.seed)

    def facts(self) -> dict[str, Any]:
        """Return what must be the same for a training to go on."""
        return {**asdict(self.config), "events": len(self.log), "targets": self.packing.targets}

    def epoch(self, number: int, progress: Progress | None) -> float:
        """Train on every target once; return the mean loss."""
        rng = np.random.default_rng((self.config.seed, number))
        torch.manual_seed(int(rng.integers(2**62)))
        summed, count = 0.0, 0
        self.net.train()
        for batch in self.packing.batches(self.config.batch, rng):
            for group in self.optimizer.param_groups:
                group["lr"] = self.config.learning_rate * self._share_of_rate()
            value = self.loss(self.net, batch, rng)
            descend(value, self.steps, self.optimizer)
            self.steps += 1
            summed, count = summed + value.item() * len(batch.targets), count + len(batch.targets)
            if progress is not None:
                progress(self.steps, max(self.steps, self.total), value.item())
        return summed / count

    def validate(self) -> float:
        """Return NDCG@10 on the validation queries."""
        return float(gains(rank_queries(self.net, self.log, self.asked, self.seen), VALIDATED_AT).mean())

    def _share_of_rate(self) -> float:
        done = (self.steps + 1) / max(1, self.total)
        warm = self.config.warm_up
        if done < warm:
            return done / warm
        past = min(1.0, (done - warm) / max(1 - warm, 1e-9))
        return LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * past))


def _backbone(net: nn.Module, log: EventLog) -> CandidateBackbone:
    if not isinstance(net, CandidateBackbone):
        raise TrainingError(f"{type(net).__name__} is no sequence backbone: it lacks length, n_items or score")
    check_catalogue(net, log)
    return net


def _loss(config: SequenceConfig, log: EventLog, split: Split, seen: SeenItems | None) -> SequenceLoss:
    if config.loss == "full":
        return FullSoftmax(seen)
    if config.loss == "sampled":
        return SampledSoftmax(seen, log, split.train, config.samples)
    if config.loss == "negatives":
        return Negatives(seen, log, split.train, config.negatives)
    raise TrainingError(f"loss {config.loss!r} is unknown; wanted full, sampled or negatives")
