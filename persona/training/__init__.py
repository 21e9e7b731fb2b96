"""Training: a base model on pooled episodes, and an adapter on top of it or together with it."""

from persona.training.loop import AdapterConfig, History, Progress, Schedule, train_adapter, train_base
from persona.training.step import Learner, LossWeights

__all__ = [
    "AdapterConfig",
    "History",
    "Learner",
    "LossWeights",
    "Progress",
    "Schedule",
    "train_adapter",
    "train_base",
]
