"""Where a query's target comes among all items, or among a sample of them; block by block, so that memory is bounded.

A rank is ``1 + (items scored higher) + 0.5 · (other items scored the same)``: a model that scores everything alike
comes out in the middle, and no order of storage helps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.events import PADDING, EventLog, Positions

CELLS = 1 << 22  # scores at a time: 16 MB of float32
Scores = npt.NDArray[np.floating[Any]]  # (B, I + 1), column 0 is padding and never read
Score = Callable[[Positions], Scores]
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # rows and columns of cells
Ranks = npt.NDArray[np.float64]  # (Q,) from 1 up, halves where there are ties


def rank_targets(score: Score, log: EventLog, positions: Positions, *, filter_seen: bool = True) -> Ranks:
    """The rank (Q,) of each query's target among all items; with `filter_seen` among those its user has not met yet.

    `score` maps positions (B,) to scores (B, I + 1). A target that was met before stays in. DataError where scores
    have another shape or a NaN among them.
    """
    ranks = [
        ranks_of(score(block), log.items[block], seen_before(log, block) if filter_seen else None)
        for block in blocks(positions, log.n_items)
    ]
    return np.concatenate([np.zeros(0), *ranks])


def sampled_ranks(
    score: Score, log: EventLog, positions: Positions, rng: np.random.Generator, negatives: int = 99
) -> Ranks:
    """The rank (Q,) of each target among itself and `negatives` items drawn evenly from those its user never meets.

    The paper's protocol. It flatters every model and can order two of them wrongly; full ranking decides. DataError
    where a user leaves fewer items than that.
    """
    ranks = [np.zeros(0)]
    for block in blocks(positions, log.n_items):
        scores = _checked(score(block), log.items[block])
        drawn = _drawn(log, block, rng, negatives)
        of_target = np.take_along_axis(scores, log.items[block][:, None].astype(np.int64), 1)
        others = np.take_along_axis(scores, drawn, 1)
        ranks.append(1 + (others > of_target).sum(1) + 0.5 * (others == of_target).sum(1))
    return np.concatenate(ranks)


def draw_unmet(log: EventLog, positions: Positions, rng: np.random.Generator, negatives: int) -> npt.NDArray[np.int64]:
    """Items (Q, negatives) that the user of each query never meets, drawn evenly; DataError as of `sampled_ranks`."""
    drawn = [_drawn(log, block, rng, negatives) for block in blocks(positions, log.n_items)]
    return np.concatenate([np.zeros((0, negatives), np.int64), *drawn])


def _drawn(log: EventLog, block: Positions, rng: np.random.Generator, negatives: int) -> npt.NDArray[np.int64]:
    keys = rng.random((len(block), log.n_items + 1), np.float32)
    keys[:, PADDING] = np.inf
    keys[_ever_met(log, block)] = np.inf
    left = np.isfinite(keys).sum(1)
    if (left < negatives).any():
        user = log.user_names[log.users[block[left.argmin()]]]
        raise DataError(
            f"user {user} leaves {left.min()} of {log.n_items} items unmet; wanted {negatives} negatives: draw fewer"
        )
    return np.argpartition(keys, negatives - 1, axis=1)[:, :negatives]


def ranks_of(scores: Scores, targets: npt.NDArray[np.int32], left_out: Pairs | None = None) -> Ranks:
    """The rank (B,) of targets by scores (B, I + 1); cells `left_out` do not compete, the target always does."""
    known = np.array(
        _checked(scores, targets)
    )  # a copy: what is left out becomes NaN, which nothing is above or equal to
    rows = np.arange(len(known))
    of_target = known[rows, targets]
    if left_out is not None:
        known[left_out] = np.nan
    known[:, PADDING] = np.nan
    known[rows, targets] = np.nan
    of_target = of_target[:, None]
    ranks: Ranks = 1 + np.count_nonzero(known > of_target, axis=1) + 0.5 * np.count_nonzero(known == of_target, axis=1)
    return ranks


def seen_before(log: EventLog, positions: Positions) -> Pairs:
    """Which cells of a (Q, I + 1) table are items that the query's user met before it."""
    return _cells(log, log.offsets[log.users[positions]], positions)


def blocks(positions: Positions, n_items: int) -> Iterator[Positions]:
    """Positions a few at a time, so that a block's scores are at most 16 MB, or one row."""
    size = max(1, CELLS // (n_items + 1))
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _ever_met(log: EventLog, positions: Positions) -> Pairs:
    users = log.users[positions]
    return _cells(log, log.offsets[users], log.offsets[users + 1])


def _cells(log: EventLog, starts: Positions, ends: Positions) -> Pairs:
    rows, places = stretches(starts, ends)
    return rows, log.items[places].astype(np.int64)


def stretches(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Pairs:
    """All places start..end - 1 of M stretches in a row, and which stretch each belongs to."""
    lengths = ends - starts
    rows = np.repeat(np.arange(len(starts)), lengths)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, starts[rows] + within


def _checked(scores: Scores, targets: npt.NDArray[np.int32]) -> Scores:
    if scores.ndim != 2 or len(scores) != len(targets) or scores.dtype.kind != "f":
        raise DataError(
            f"scores are {scores.shape} {scores.dtype} for {len(targets)} queries; wanted floats, a row a query and a "
            "column an item, with one for padding in front"
        )
    if len(targets) and not (targets.min() >= 1 and targets.max() < scores.shape[1]):
        raise DataError(
            f"targets run from {targets.min()} to {targets.max()}; wanted items in 1..{scores.shape[1] - 1}: the "
            "model's catalogue is another than the log's"
        )
    if np.isnan(scores[:, 1:]).any():
        raise DataError("scores have NaN among them, which has no place in a ranking; look for it in the model")
    return scores
