"""What a model may learn from, and what it is asked: positions of queries for training, validation and test.

Every query has at least one earlier event of its user. What a model may be trained on is ``fit_until``: of user u the
events before position ``fit_until[u]``, so ``log.ending(split.fit_until)`` is the log a counter is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog, Positions


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of queries, sorted, in three disjoint sets, and where the events to learn from end for each user."""

    train: Positions
    validation: Positions
    test: Positions
    fit_until: Positions  # (U,): offsets[u] where nothing of user u may be learnt from


@dataclass(frozen=True, eq=False)
class Ageing:
    """One set of late queries and two models' worth of data: up to an early cut, and up to the queries."""

    stale: Split
    fresh: Split


def leave_one_out(log: EventLog) -> Split:
    """Each user's last event is the test query and the one before it validation; the rest is learnt from.

    The history of the test query includes the validation event. Users with fewer than three events only train.
    """
    starts, ends = log.offsets[:-1], log.offsets[1:]
    asked = ends - starts >= 3
    fit_until = np.where(asked, ends - 2, ends)
    return _checked(log, Split(_train(log, fit_until), ends[asked] - 2, ends[asked] - 1, fit_until), "leave-one-out")


def temporal(log: EventLog, validation_share: float = 0.1, test_share: float = 0.1) -> Split:
    """Cuts in global time: the last `test_share` of all events are asked in the test, the share before it to choose by.

    DataError where the log has no times, or a part would be empty.
    """
    times = np.sort(log.needs_times("a temporal split"))
    _check_shares(validation_share, test_share)
    test_from = times[min(len(times) - 1, round(len(times) * (1 - test_share)))]
    validation_from = times[min(len(times) - 1, round(len(times) * (1 - test_share - validation_share)))]
    return temporal_at(log, int(validation_from), int(test_from))


def temporal_at(log: EventLog, validation_from: int, test_from: int) -> Split:
    """Learn from events before `validation_from` (seconds), choose by those before `test_from`, report on the others.

    A test query's history runs up to it, as a device knows it. DataError as from `temporal`.
    """
    times = log.needs_times("a temporal split")
    fit_until = log.offsets[:-1] + np.bincount(log.users[times < validation_from], minlength=log.n_users)
    later = _with_history(log)
    validation = np.flatnonzero(later & (times >= validation_from) & (times < test_from))
    split = Split(_train(log, fit_until), validation, np.flatnonzero(later & (times >= test_from)), fit_until)
    return _checked(log, split, f"temporal, at {validation_from} and {test_from}")


def by_user(
    log: EventLog,
    validation_share: float,
    test_share: float,
    rng: np.random.Generator,
    support: int = 5,
) -> Split:
    """Disjoint users: those asked are unseen in training, and asked for every event after their first `support`.

    Shares are of all users; users with no event beyond the support only train. DataError where a part would be empty.
    """
    _check_shares(validation_share, test_share)
    if support < 1:
        raise DataError(f"support is {support} events; wanted at least 1 before a query")
    starts, ends = log.offsets[:-1], log.offsets[1:]
    able = rng.permutation(np.flatnonzero(ends - starts > support))
    test_count, validation_count = round(log.n_users * test_share), round(log.n_users * validation_share)
    part = np.zeros(log.n_users, np.int8)
    part[able[:test_count]] = 2
    part[able[test_count : test_count + validation_count]] = 1
    fit_until = np.where(part == 0, ends, starts)
    supported = np.arange(len(log)) >= starts[log.users] + support
    validation, test = (np.flatnonzero(supported & (part[log.users] == number)) for number in (1, 2))
    return _checked(log, Split(_train(log, fit_until), validation, test, fit_until), f"by user, support {support}")


def first_half(log: EventLog, share: float = 0.5, validation_share: float = 0.1, test_share: float = 0.1) -> Ageing:
    """Late queries for a model that learnt from the first `share` of all events by time, and for one kept fresh.

    What lies between the two `fit_until` is the recent period that a refresh without retraining may read.
    DataError as from `temporal`, or where the share reaches into validation.
    """
    fresh = temporal(log, validation_share, test_share)
    if not 0 < share <= 1 - validation_share - test_share:
        raise DataError(f"a base on the first {share} of the log would see validation; wanted less, and above 0")
    times = log.needs_times("a base that ages")
    cut = np.sort(times)[round(len(log) * share)]
    old = log.offsets[:-1] + np.bincount(log.users[times < cut], minlength=log.n_users)
    fit_until = np.minimum(old, fresh.fit_until)
    stale = Split(_train(log, fit_until), fresh.validation, fresh.test, fit_until)
    return Ageing(_checked(log, stale, f"first {share} by time"), fresh)


def _with_history(log: EventLog) -> npt.NDArray[np.bool_]:
    return np.arange(len(log)) > log.offsets[log.users]


def _train(log: EventLog, fit_until: Positions) -> Positions:
    return np.flatnonzero(_with_history(log) & (np.arange(len(log)) < fit_until[log.users]))


def _check_shares(validation_share: float, test_share: float) -> None:
    if not (validation_share > 0 and test_share > 0 and validation_share + test_share < 1):
        raise DataError(
            f"shares of {validation_share} for validation and {test_share} for test; wanted both above 0 and, "
            "together, below 1"
        )


def _checked(log: EventLog, split: Split, how: str) -> Split:
    sizes = {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)}
    empty = [name for name, size in sizes.items() if not size]
    if empty:
        raise DataError(
            f"split {how} of {len(log):,} events and {log.n_users:,} users has no {' and no '.join(empty)} queries; "
            "wanted some of each: cut elsewhere, or take a longer log"
        )
    return split
