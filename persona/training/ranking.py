"""Ranks of query targets in the whole catalogue, from a torch net, some queries at a time.

The same ranks as `persona.tasks.recommendation.ranking.rank_targets`: ties count half, what was seen is left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from persona.backbones.items import PADDING, CandidateBackbone, SequenceBackbone
from persona.errors import DataError
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.ranking import blocks
from persona.training.seen import Runs, SeenItems

CANDIDATES_AT_ONCE = 1 << 15  # window and candidate pairs that a net without states reads at once


@torch.no_grad()
def rank_queries(
    net: CandidateBackbone, log: EventLog, positions: Positions, seen: SeenItems | None
) -> npt.NDArray[np.float64]:
    """Return the rank (Q,) of each query's target in the catalogue, from 1, halves for ties.

    What the user has `seen` before is left out, a target that was seen excepted; None leaves nothing out. DataError
    where the log has other items than the net, or a score is not a number.
    """
    check_catalogue(net, log)
    device, training = next(net.parameters()).device, net.training
    net.train(False)
    widths = np.minimum(positions - log.offsets[log.user_of(positions)], net.length)
    order = np.argsort(widths, kind="stable")  # queries of one width together: no work for padding
    ranks = np.zeros(len(positions))
    for chosen in blocks(order, log.n_items):
        block, width = positions[chosen], max(1, int(widths[chosen[-1]]))
        scores = catalogue(net, torch.from_numpy(log.windows(block, width)).to(device))
        targets = torch.from_numpy(log.items[block].astype(np.int64)).to(device)
        found = ranks_of(scores, targets, None if seen is None else seen.before(block, device))
        ranks[chosen] = found.cpu().numpy()
    net.train(training)
    return ranks


def ranks_of(scores: Tensor, targets: Tensor, seen: Runs | None) -> Tensor:
    """Return ranks (B,) of targets by scores (B, I + 1), in whose place the scores of what was seen are lost."""
    own = scores.gather(1, targets[:, None])
    if not bool(torch.isfinite(own).all()):
        raise DataError("the scores of some targets are not finite; look for it in the net")
    if bool(scores.amax(dim=1).isnan().any()):
        raise DataError("scores have NaN among them, which has no place in a ranking; look for it in the net")
    if seen is not None:
        seen.fill_(scores)
    scores[:, PADDING] = -torch.inf
    scores.scatter_(1, targets[:, None], own)
    above, level = (scores > own).sum(dim=1), (scores == own).sum(dim=1)  # the target is level with itself
    return 0.5 + above.double() + 0.5 * level.double()


def catalogue(net: CandidateBackbone, windows: Tensor) -> Tensor:
    """Return scores (B, I + 1) of the whole catalogue after windows (B, L), -inf for padding."""
    if isinstance(net, SequenceBackbone):
        return net.scores(net.state(windows))
    everything = torch.arange(net.n_items + 1, device=windows.device).expand(len(windows), -1)
    columns = max(1, CANDIDATES_AT_ONCE // max(1, len(windows)))
    return torch.cat([net.score(windows, part) for part in everything.split(columns, dim=1)], dim=1)


def check_catalogue(net: CandidateBackbone, log: EventLog) -> None:
    """Raise DataError where a log has more items than a net has vectors for."""
    if log.n_items > net.n_items:
        raise DataError(
            f"the log has {log.n_items} items and the net was made for {net.n_items}; make it with as many as the log"
        )
