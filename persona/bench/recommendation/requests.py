"""Request policies on the streams of users: who asks for an edit when, and how much of its gain is left.

A stream is what a user does from the first event on that has a long enough history. Before each of them a device may
ask, and keeps what it got until it asks again. Nobody passes a budget, a share of the events so far; the first event
always asks, on credit. Whatever a policy has to learn, its threshold too, it learns on validation streams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from persona.adapters.heads.adapter import HeadEditor
from persona.backbones.edited import Broadcast, EditedHead
from persona.bench.recommendation.signals import Floats, Signals, signals_of
from persona.device.policies import EveryN, LearnedDetector, Observation, OnDrift, PageHinkley, Policy, fit_detector
from persona.device.policies.learned import inputs_of
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.metrics import hits
from persona.training.event_features import EventFeatures
from persona.training.heads import Answers, all_deltas, score_queries

BUDGETS = (10, 30)  # % of the events
POLICIES = ("every", "random", "detector", "drift", "predicted")
LEAST = 10  # events before the first request: an edit is at rest up to there
OLDEST = 50  # events that an edit is old, at most, where policies learn
STEPS = 8  # of looking for a threshold

Made = Callable[[float], Policy]  # from how readily it asks, 0 to 1, to a policy for one stream


@dataclass(frozen=True)
class Chance:
    """Asks by dice, at a share of all events."""

    share: float
    rng: np.random.Generator

    def should_ask(self, seen: Observation) -> bool:
        """Return whether to ask now."""
        return seen.jumped or self.rng.random() < self.share


@dataclass(frozen=True, eq=False)
class PredictedGain:
    """Ours: asks where a fresh edit is foretold to lower the loss by `threshold` or more, linearly in what is known."""

    weights: Floats
    threshold: float

    def should_ask(self, seen: Observation) -> bool:
        """Return whether to ask now."""
        return seen.jumped or float(_known(seen) @ self.weights) >= self.threshold


@dataclass(frozen=True, eq=False)
class Streams:
    """An editor on a log's streams: `asked` (Q,) are those of their events that are ranked, sorted."""

    head: EditedHead
    editor: HeadEditor
    features: EventFeatures
    asked: Positions
    change: Broadcast | None = None

    @property
    def log(self) -> EventLog:
        """The log."""
        return self.features.log

    def spans(self) -> list[range]:
        """Return each user's stream: from the first event that is ranked and may have an edit, to the last."""
        users = self.log.users[self.asked]
        able = self.asked[self.asked >= self.log.offsets[users] + LEAST]
        if not len(able):
            return []
        _, first = np.unique(self.log.users[able], return_index=True)
        ends = np.append(first[1:], len(able)) - 1
        return [range(int(able[a]), int(able[b]) + 1) for a, b in zip(first, ends, strict=True)]

    def answers(self, made_at: Positions) -> Answers:
        """Return the answers to `asked` with edits made before the events `made_at` (Q,)."""
        unique, which = np.unique(made_at, return_inverse=True)
        deltas = {name: x[torch.from_numpy(which)] for name, x in self.deltas(unique).items()}
        with torch.no_grad():
            query = self.editor.form.query(self.features.states[self.asked], deltas)
            return score_queries(query, self.head.table(self.change), self.features, self.asked)

    def deltas(self, positions: Positions) -> dict[str, Tensor]:
        """Return the editor's deltas before events."""
        return all_deltas(self.editor, self.features, positions)


def requested(learn: Streams, test: Streams, rng: np.random.Generator) -> dict[str, Answers]:
    """Return the answers to `test` under each policy and budget, ``policy-budget``; learnt on the streams of `learn`.

    Each has the share of events that asked among its figures. A policy that cannot be fitted, since a fresh edit never
    turned a wrong answer right or no stream is long enough, is left out.
    """
    trials, streams = learn.spans(), test.spans()
    if not trials or not streams:
        return {}
    signals = _signals(learn, streams)
    makers = _fitted(learn, signals, rng)
    found = {}
    for budget in BUDGETS:
        for name, make in makers(budget / 100).items():
            ready = readiness(make, trials, signals, budget / 100)
            walks = [walked(stream, signals, make(ready), budget / 100) for stream in streams]
            made_at, share = edits_kept(test.asked, streams, walks)
            found[f"{name}-{budget}"] = test.answers(made_at)._replace(figures={"requests": share})
    return found


def _signals(learn: Streams, streams: list[range]) -> Signals:
    edits = np.concatenate([x.flatten(1).numpy() for x in learn.deltas(learn.asked).values()], axis=1)
    wanted = np.concatenate([np.arange(s.start, s.stop) for s in (*streams, *learn.spans())])
    return signals_of(learn.head, learn.features, wanted, learn.asked, edits.astype(np.float64))


def _fitted(learn: Streams, signals: Signals, rng: np.random.Generator) -> Callable[[float], Mapping[str, Made]]:
    """Fit what policies learn: queries with an edit of some age beside those with a fresh one."""
    starts = learn.log.offsets[learn.log.users[learn.asked]] + LEAST
    ages = np.exp(rng.uniform(0, np.log(OLDEST), len(starts))).astype(np.int64)
    then = np.minimum(np.maximum(learn.asked - ages, starts), learn.asked)
    old, fresh = learn.answers(then), learn.answers(learn.asked)
    aged = np.flatnonzero(then < learn.asked)
    pairs = zip(then[aged].tolist(), learn.asked[aged].tolist(), strict=True)
    seen = [signals.between(a, b, first=False) for a, b in pairs]
    right = (hits(fresh.ranks, 10) > hits(old.ranks, 10))[aged].astype(float)
    gains = (old.losses - fresh.losses)[aged]

    def makers(budget: float) -> Mapping[str, Made]:
        found: dict[str, Made] = {
            "every": lambda ready: EveryN(1),
            "random": lambda ready: Chance(budget, rng),
            "drift": lambda ready: OnDrift(PageHinkley(0.01, 10 ** (2 - 5 * ready), least=1)),
        }
        if len(seen) and right.any() and not right.all():
            found["detector"] = _detecting(fit_detector(seen, right, budget), seen)
        if len(seen):
            found["predicted"] = _foretelling(seen, gains)
        return found

    return makers


def _detecting(detector: LearnedDetector, seen: list[Observation]) -> Made:
    scores = np.sort([detector.score(one) for one in seen])
    return lambda ready: LearnedDetector(detector.weights, detector.bias, float(np.quantile(scores, 1 - ready)))


def _foretelling(seen: list[Observation], gains: Floats) -> Made:
    rows = np.stack([_known(one) for one in seen])
    ridge = 1e-3 * len(rows) * np.eye(rows.shape[1])
    weights = np.asarray(np.linalg.solve(rows.T @ rows + ridge, rows.T @ gains), np.float64)
    scores = np.sort(rows @ weights)
    return lambda ready: PredictedGain(weights, float(np.quantile(scores, 1 - ready)))


def _known(seen: Observation) -> Floats:
    """Return what the gain is foretold from: what a detector reads, and how the sketch's way and the doubt combine."""
    drift, moved, doubt, log_windows = inputs_of(seen)
    return np.asarray([1.0, drift, moved, doubt, log_windows, moved * moved, moved * doubt, moved * log_windows])


def readiness(make: Made, trials: list[range], signals: Signals, budget: float) -> float:
    """Return how readily a policy may ask so that it keeps to a budget by itself, on validation streams."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        walks = [walked(stream, signals, make(middle), 1.0) for stream in trials]
        share = sum(len(np.unique(walk)) for walk in walks) / sum(map(len, walks))
        low, high = (middle, high) if share <= budget else (low, middle)
    return low


def walked(stream: range, signals: Signals, policy: Policy, budget: float) -> list[int]:
    """Return, for every event of a stream, before which event its edit was asked for."""
    then, credit, made_at = stream.start, 0.0, []
    for now in stream:
        wants = policy.should_ask(signals.between(then, now, first=now == stream.start))
        credit += budget
        if now == stream.start or (wants and credit >= 1 - 1e-9):
            then, credit = now, credit - 1
        made_at.append(then)
    return made_at


def edits_kept(asked: Positions, streams: list[range], walks: list[list[int]]) -> tuple[Positions, float]:
    """Return where the edit of each query was asked for, its own place where it is in no stream, and who asked."""
    events = np.concatenate([np.arange(s.start, s.stop) for s in streams])
    made_at = np.concatenate([np.asarray(walk, np.int64) for walk in walks])
    place = np.searchsorted(events, asked).clip(max=len(events) - 1)
    return np.where(events[place] == asked, made_at[place], asked), len(np.unique(made_at)) / len(events)
