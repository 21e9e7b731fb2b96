"""The two loops: a base model on pooled episodes, and an adapter with (or without) its base (method §4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from persona.adapters.persona import PersonaAdapter
from persona.errors import TrainingError
from persona.model.editable import EditableModel
from persona.model.renorm import Renorm
from persona.tasks.base import Episodes
from persona.training.centres import Centres
from persona.training.step import Learner, Loss, LossWeights, adapter_loss, to_tensors, window_features

# Called after every step with the steps done, the steps in all and the loss.
Progress = Callable[[int, int, float], None]

# Windows from which the sketch's standardisation is taken, and by how little a feature may vary.
CALIBRATION_WINDOWS = 192
SMALLEST_SCALE = 1e-3
# Codes whose variance is below this share of their mean square are taken to be all the same.
SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: AdamW under a one-cycle learning rate, gradients clipped at norm 1."""

    steps: int = 800
    learning_rate: float = 1e-2
    weight_decay: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class AdapterConfig:
    """How an adapter is trained.

    `base`: "joint" trains the model's own weights along, "frozen" leaves them. `prototypes`: centres kept while
    training. `renorm`: batch normalisation that is edited also takes up the device's own statistics. `blind`: the
    adapter is told nothing, and learns one edit for everybody.
    """

    schedule: Schedule = Schedule(steps=1000, learning_rate=5e-3)
    base: Literal["joint", "frozen"] = "joint"
    weights: LossWeights = field(default_factory=LossWeights)
    prototypes: int = 16
    renorm: bool = False
    blind: bool = False


@dataclass
class History:
    """What training left behind: the loss of every step and the eigenvalue shares of the last codes."""

    losses: list[float] = field(default_factory=list)
    code_shares: list[float] = field(default_factory=list)

    @property
    def collapsed(self) -> bool:
        """Whether the code's first principal direction carries over 70 % of its variance: a fault (method §2)."""
        return bool(self.code_shares) and self.code_shares[0] > 0.7


def train_base(
    module: nn.Module,
    episodes: Episodes,
    schedule: Schedule,
    progress: Progress | None = None,
    loss: Loss = F.cross_entropy,
) -> History:
    """Train a plain module, in place, on the support and the query of every batch together; return its history.

    TrainingError where the episodes do not fit the module, or the loss is no longer finite.
    """
    rng = np.random.default_rng(schedule.seed)
    optimizer, rate = make_optimizer(list(module.parameters()), schedule)
    history = History()
    with seeded(schedule.seed), fitting():
        for step in range(schedule.steps):
            batch = episodes.sample(rng)
            x, y = to_tensors(
                np.concatenate([batch.support, batch.query], axis=1),
                np.concatenate([batch.support_labels, batch.query_labels], axis=1),
            )
            module.train()
            value = loss(module(x.flatten(0, 1)), y.flatten())
            descend(value, step, optimizer, rate)
            report(history, step, schedule, value, progress)
    module.eval()
    return history


def train_adapter(
    model: EditableModel,
    adapter: PersonaAdapter,
    episodes: Episodes,
    config: AdapterConfig = AdapterConfig(),
    progress: Progress | None = None,
    loss: Loss = F.cross_entropy,
) -> tuple[Learner, History]:
    """Train an adapter, and the model's own weights along with it where `config.base` is "joint", in place.

    Normalisation layers keep their running statistics. TrainingError where the episodes do not fit, or the loss is no
    longer finite.
    """
    if config.base not in ("joint", "frozen"):
        raise TrainingError(f"base {config.base!r} is unknown; wanted joint or frozen")
    rng = np.random.default_rng(config.schedule.seed)
    with fitting():
        learner = start_learner(model, adapter, episodes, config.prototypes, rng)
    learner.loss, learner.blind = loss, config.blind
    if config.renorm:
        learner.renorm = Renorm(model)
    still = list(model.parameters()) if config.base == "frozen" else []
    with _held(still), seeded(config.schedule.seed), fitting():
        history = _adapt(learner, episodes, config, rng, progress)
    return learner, history


def _adapt(
    learner: Learner, episodes: Episodes, config: AdapterConfig, rng: np.random.Generator, progress: Progress | None
) -> History:
    modules = [learner.adapter, learner.model, *([] if learner.renorm is None else [learner.renorm])]
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    optimizer, rate = make_optimizer(trained, config.schedule)
    history, recent = History(), list[Tensor]()
    learner.adapter.train()
    for step in range(config.schedule.steps):
        value, codes = adapter_loss(learner, episodes.sample(rng), config.weights, rng)
        descend(value, step, optimizer, rate)
        recent = [*recent, codes.flatten(1)][-64:]
        report(history, step, config.schedule, value, progress)
    learner.adapter.eval()
    history.code_shares = eigenvalue_shares(torch.cat(recent))
    return history


def start_learner(
    model: EditableModel,
    adapter: PersonaAdapter,
    episodes: Episodes,
    prototypes: int,
    rng: np.random.Generator,
) -> Learner:
    """Return a learner whose sketch features are standardised over windows of the episodes, under the base weights."""
    model.eval()
    rows: list[Tensor] = []
    with torch.no_grad():
        while sum(len(row) for row in rows) < CALIBRATION_WINDOWS:
            batch = episodes.sample(rng)
            x, _ = to_tensors(batch.support, batch.support_labels)
            logits, moments = model(x.flatten(0, 1))
            rows.append(window_features(model, moments, logits, len(x)))
    raw = torch.cat(rows)
    scale = raw.std(dim=0).clamp(min=SMALLEST_SCALE)
    return Learner(model, adapter, raw.mean(dim=0), scale, Centres(prototypes))


def eigenvalue_shares(codes: Tensor) -> list[float]:
    """Return the shares of the variance of codes (N, n·d) along their principal directions, largest first.

    Codes that are all the same lie on one direction: the worst of collapses.
    """
    centred = codes.double() - codes.double().mean(dim=0)
    values = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0).flip(0)
    if values.sum() <= SMALLEST_VARIANCE * codes.square().sum():
        values = torch.eye(len(values))[0]
    return [float(share) for share in values / values.sum()]


@contextmanager
def fitting() -> Iterator[None]:
    """Raise torch's complaints about shapes, dtypes and labels as a TrainingError that says whose they are."""
    try:
        yield
    except (RuntimeError, IndexError, TypeError) as error:
        raise TrainingError(
            f"the episodes do not fit the model or the adapter ({error}); look at the samples' shape and dtype, and "
            "whether labels are whole numbers below the number of classes"
        ) from error


def make_optimizer(
    parameters: list[nn.Parameter], schedule: Schedule
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW and its one-cycle rate; TrainingError for a schedule without steps."""
    if schedule.steps < 1:
        raise TrainingError(f"training for {schedule.steps} steps does nothing; give at least 1")
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    total = schedule.steps + 1
    warm_up = max(0.2, 2 / total)  # one step at least: torch divides by its length
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.learning_rate, total, pct_start=warm_up)
    return optimizer, rate


def adamw_of(parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return AdamW over those of some parameters that are trained, with decay on matrices alone."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    matrices, rest = ([p for p in trained if (p.ndim > 1) == wanted] for wanted in (True, False))
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, learning_rate, weight_decay=weight_decay)


def descend(
    loss: Tensor,
    step: int,
    optimizer: torch.optim.Optimizer,
    rate: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> None:
    """Take one clipped step down a loss, and move the rate on where one is given; TrainingError if it is not finite."""
    if not math.isfinite(loss.item()):
        raise TrainingError(f"the loss is {loss.item()} at step {step}; check the data, or lower the learning rate")
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    if rate is not None:
        rate.step()


def report(history: History, step: int, schedule: Schedule, loss: Tensor, progress: Progress | None) -> None:
    """Note a loss, and tell it to whoever watches."""
    history.losses.append(loss.item())
    if progress is not None:
        progress(step + 1, schedule.steps, loss.item())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's own dice, which fresh weights and dropout roll, and put them back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def _held(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Let no gradient reach some parameters: it would be computed for nothing, and stay with them."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
