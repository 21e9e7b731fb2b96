"""Refinement on trial: a population that drifts for good, its prototypes refreshed by the codes that arrive, or not.

All devices go in step, since a refresh comes of everybody's codes. Devices with even numbers feed the statistics; the
codes of the others are held back, and decide whether a refresh is taken (method §5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from persona.bank import Bank
from persona.bench.vision.drive import Labels
from persona.bench.vision.job import Job
from persona.bench.vision.settings import shape_of
from persona.bench.vision.store import pack
from persona.edit import Array
from persona.prototypes.refine import ForgettingStatistics, refresh_or_keep
from persona.tasks.vision.gradual import drifting_streams
from persona.training.step import Learner

REFRESH_WINDOWS = 2  # a refresh after so many windows of every device
HALF_LIFE = 3.0  # windows after which a code counts half
Reply = Callable[[Array], Array]


def refinement_rows(job: Job, train: int, stream: int) -> tuple[dict[str, dict[str, Any]], list[int]]:
    """Return the rows "refinement/off" and "refinement/on", and "refinement/whole code" as what both fall short of.

    The first two run under their prototype alone. The marks that come with them say where a segment begins: nowhere.
    """
    trained = job.trained(train)
    shape = shape_of(job.plan, "iid")
    streams = drifting_streams(job.task().images.test, max(job.plan.devices // 2, 2), stream, shape)
    windows = [[torch.from_numpy(w.x) for w in device] for device in streams]
    labels = [[w.y for w in device] for device in streams]
    learner, bank = trained.kits.kit.learner, trained.kits.kit.bank
    with torch.no_grad():
        seen = [[learner.see(x.unsqueeze(0)) for x in device] for device in windows]
    codes = np.stack([[one.codes[0].detach().numpy() for one in device] for device in seen])  # (D, W, n, d)
    banks = {"off": [bank] * codes.shape[1], "on": refreshed_banks(bank, codes)}
    replies: dict[str, list[Reply]] = {
        **{f"refinement/{name}": [_prototype(b) for b in used] for name, used in banks.items()},
        "refinement/whole code": [lambda code: code] * codes.shape[1],
    }
    rows = {}
    for name, reply in replies.items():
        cells = [
            [_right(learner, reply[t](codes[d, t]), x, labels[d][t]) for t, x in enumerate(device)]
            for d, device in enumerate(windows)
        ]
        right = pack(np.array(cells))
        whole = name.endswith("whole code")
        rows[name] = {"same": right, "causal": right, "default": name == "refinement/on", "reference": whole}
    return rows, [0] * codes.shape[1]


def refreshed_banks(bank: Bank, codes: Array) -> list[Bank]:
    """Return the bank in force in each window, refreshed every few windows by the codes (D, W, n, d) until then."""
    statistics: ForgettingStatistics | None = None
    banks = []
    for window in range(codes.shape[1]):
        banks.append(bank)
        arrived = ForgettingStatistics.of(codes[::2, window], bank, float(window), HALF_LIFE)
        statistics = arrived if statistics is None else statistics.merge(arrived)
        if (window + 1) % REFRESH_WINDOWS == 0:
            bank = refresh_or_keep(bank, statistics, codes[1::2, window]).bank
            statistics = statistics.under(bank)
    return banks


def _prototype(bank: Bank) -> Reply:
    return lambda code: bank.codes[int(bank.assign(code)[0])]


@torch.no_grad()
def _right(learner: Learner, code: Array, x: Tensor, y: Labels) -> int:
    deltas = learner.learned(torch.from_numpy(code).unsqueeze(0))
    return int((learner.run(x, deltas).logits.argmax(dim=1).numpy() == y).sum())
