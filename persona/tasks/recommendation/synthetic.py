"""A world of shifting interests whose switches and probabilities are known: for tests, and to bound what can be won.

A user has one interest at a time. It switches now and then, to one the user had before (returning) or never had (new).
The next item is drawn from ``P(j | i, k) = (1 - τ) θ_k(j) + τ · [j follows i in k] / S`` with interest k, last item i
and a taste θ_k, among items the user has not met. From a known time on, some interests have another taste and other
followers: the population drifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.ranking import seen_before

START, STAY, RETURN, NEW = 0, 1, 2, 3  # what an event's interest is to the one before: the codes of `DriftWorld.kinds`
Interests = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WorldShape:
    """Sizes and habits of a drift world. DataError for values out of range."""

    users: int = 400
    items: int = 300
    interests: int = 8
    events: int = 60  # of each user; one time step apart
    dwell: float = 12.0  # events an interest lasts, on average
    returning: float = 0.7  # share of switches back to an interest the user had before, where there is one
    sharpness: float = 2.5  # spread of the logarithms of taste: 0 is no taste at all
    followed: float = 0.4  # τ: how often an item's followers are taken
    followers: int = 3  # S
    drift_at: float | None = 0.7  # share of the time after which the population has drifted; None: never
    drifted: float = 0.5  # share of the interests that drift

    def __post_init__(self) -> None:
        shares = (self.returning, self.followed, self.drifted, self.drift_at if self.drift_at is not None else 0.0)
        whole = min(self.users, self.interests, self.followers, self.events) >= 1
        if not whole or not all(0 <= share <= 1 for share in shares) or self.dwell < 1 or self.sharpness < 0:
            raise DataError(f"{self} is out of range; wanted counts and dwell of at least 1, shares in 0..1")
        if self.items <= max(self.events, self.followers):
            raise DataError(
                f"{self.items} items for {self.events} events a user and {self.followers} followers; wanted more items "
                "than either, because nobody meets an item twice"
            )


@dataclass(frozen=True, eq=False)
class DriftWorld:
    """A log and the truth behind it; one row an event. Times are steps of an hour."""

    log: EventLog
    interests: Interests  # (N,) which interest the event came from
    kinds: npt.NDArray[np.int8]  # (N,) START, STAY, RETURN or NEW
    since: npt.NDArray[np.int64]  # (N,) events since the last switch, 0 for its first
    drift_from: int | None  # seconds: events at or after it come from the drifted population
    tables: npt.NDArray[np.float32]  # (2, K, I + 1, I + 1): P(j | i, k) before and after drift

    def probabilities(self, positions: Positions) -> npt.NDArray[np.float32]:
        """The oracle: the true probabilities (Q, I + 1) of the next item, which nobody can beat on average."""
        return self._unmet(
            positions, self.tables[self._epochs(positions), self.interests[positions], self._last(positions)]
        )

    def blind(self, positions: Positions) -> npt.NDArray[np.float32]:
        """The same (Q, I + 1) for somebody who knows the last item and the population, but no user's interest."""
        epochs, last = self._epochs(positions), self._last(positions)
        return self._unmet(positions, self.tables.mean(1)[epochs, last])

    def _epochs(self, positions: Positions) -> Interests:
        times = self.log.needs_times("a drift world")[positions]
        return (
            np.zeros(len(times), np.int64) if self.drift_from is None else (times >= self.drift_from).astype(np.int64)
        )

    def _last(self, positions: Positions) -> npt.NDArray[np.int32]:
        return self.log.windows(positions, 1)[:, 0]

    def _unmet(self, positions: Positions, table: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        left = table.copy()
        left[seen_before(self.log, positions)] = 0.0
        left /= left.sum(1, keepdims=True)
        return left


def make_world(shape: WorldShape, seed: int) -> DriftWorld:
    """The world of a shape and a seed: the same every time."""
    rng = np.random.default_rng(seed)
    tables = _tables(shape, rng)
    interests, kinds, since = _switches(shape, rng)
    drift_step = None if shape.drift_at is None else round(shape.events * shape.drift_at)
    items = _walks(tables, interests, shape.events if drift_step is None else drift_step, rng)
    users = np.repeat(np.arange(shape.users, dtype=np.int32), shape.events)
    times = np.tile(np.arange(shape.events, dtype=np.int64) * 3600, shape.users)
    log = EventLog(
        users, items.ravel(), times, None, _numbered("user", shape.users), _numbered("item", shape.items)
    )  # fmt: skip
    drift_from = None if drift_step is None else drift_step * 3600
    return DriftWorld(log, interests.ravel(), kinds.ravel(), since.ravel(), drift_from, tables)


def _tables(shape: WorldShape, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    before = _transitions(shape, rng)
    after = _transitions(shape, rng)
    stays = rng.permutation(shape.interests)[round(shape.interests * shape.drifted) :]
    after[stays] = before[stays]
    return np.stack([before, after])


def _transitions(shape: WorldShape, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """P(j | i, k) as (K, I + 1, I + 1); column 0 is 0, and row 0 is the taste alone."""
    K, count, S = shape.interests, shape.items, shape.followers
    logits = shape.sharpness * rng.normal(size=(K, count))
    taste = np.exp(logits - logits.max(1, keepdims=True))
    taste /= taste.sum(1, keepdims=True)
    table = np.zeros((K, count + 1, count + 1), np.float32)
    table[:, :, 1:] = taste[:, None]
    # Followers are drawn by taste without repeats: the largest of log-taste plus Gumbel noise.
    noisy = logits[:, None] + rng.gumbel(size=(K, count, count))
    followers = np.argpartition(-noisy, S - 1, axis=2)[:, :, :S] + 1
    table[:, 1:] *= np.float32(1 - shape.followed)
    rows = np.arange(1, count + 1)[None, :, None]
    table[np.arange(K)[:, None, None], rows, followers] += np.float32(shape.followed / S)
    return table


def _switches(
    shape: WorldShape, rng: np.random.Generator
) -> tuple[Interests, npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """Each user's interest at each step (U, T), what it is to the one before, and how long it has lasted."""
    U, T, K = shape.users, shape.events, shape.interests
    interests = np.zeros((U, T), np.int64)
    kinds, since = np.full((U, T), STAY, np.int8), np.zeros((U, T), np.int64)
    interests[:, 0], kinds[:, 0] = rng.integers(K, size=U), START
    had = np.zeros((U, K), np.bool_)
    had[np.arange(U), interests[:, 0]] = True
    for step in range(1, T):
        before = interests[:, step - 1]
        others = np.ones((U, K), np.bool_)
        others[np.arange(U), before] = False
        back, fresh = others & had, others & ~had
        switches = (rng.random(U) < 1 / shape.dwell) & others.any(1)
        returns = np.where(back.any(1) & fresh.any(1), rng.random(U) < shape.returning, back.any(1))
        pick = np.where(np.where(returns[:, None], back, fresh), rng.random((U, K)), -1.0).argmax(1)
        interests[:, step] = np.where(switches, pick, before)
        kinds[:, step] = np.where(switches, np.where(returns, RETURN, NEW), STAY)
        since[:, step] = np.where(switches, 0, since[:, step - 1] + 1)
        had[np.arange(U), interests[:, step]] = True
    return interests, kinds, since


def _walks(
    tables: npt.NDArray[np.float32], interests: Interests, drift_step: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """The items (U, T) that users meet, none of them twice."""
    U, T = interests.shape
    items = np.zeros((U, T), np.int32)
    met = np.zeros((U, tables.shape[-1]), np.bool_)
    last = np.zeros(U, np.int32)
    for step in range(T):
        shares = tables[int(step >= drift_step), interests[:, step], last].astype(np.float64)
        shares[met] = 0.0
        edges = np.cumsum(shares, axis=1)
        last = (rng.random((U, 1)) * edges[:, -1:] >= edges).sum(1).astype(np.int32)
        items[:, step] = last
        met[np.arange(U), last] = True
    return items


def _numbered(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}-{number}" for number in range(count))
