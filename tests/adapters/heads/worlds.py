"""A world in which only what lies beyond the device's window tells what comes next."""

import numpy as np
import torch

from persona.backbones.edited import EditedHead
from persona.backbones.sasrec import SASRec
from persona.tasks.recommendation.events import EventLog, Positions

FILLERS, WINDOW = 12, 10
ITEMS = 2 + FILLERS + 2  # markers 1 and 2, fillers, the targets that they announce


def marked_log(users: int, seed: int = 0) -> EventLog:
    """Each user meets one of two markers, all fillers in an order of their own, then the marker's target."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        marker = 1 + user % 2
        rows.append([marker, *(3 + rng.permutation(FILLERS)), ITEMS - 2 + marker])
    items = np.asarray(rows, np.int32)
    names = tuple(f"item-{number}" for number in range(ITEMS))
    owners = np.repeat(np.arange(users, dtype=np.int32), items.shape[1])
    return EventLog(owners, items.ravel(), None, None, tuple(f"user-{u}" for u in range(users)), names)


def last_events(log: EventLog) -> Positions:
    return log.offsets[1:] - 1


def marked_head(d: int = 8) -> EditedHead:
    torch.manual_seed(0)
    net = SASRec(ITEMS, d=d, length=WINDOW, blocks=1, heads=1)
    with torch.no_grad():
        net.items.weight[1:].normal_(std=0.5)
    return EditedHead(net, rank=2, side=4)
