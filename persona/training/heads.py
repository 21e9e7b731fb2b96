"""Training an editor of heads on a frozen backbone, and ranking with it.

Everything that a backbone makes of a log is worked out once (`EventFeatures`); an epoch then reads histories, makes
edits, and scores the catalogue, with what a user has seen left out of the loss. The best epoch by validation stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from persona.adapters.heads.adapter import HeadEditor
from persona.backbones.edited import Broadcast, EditedHead
from persona.backbones.items import SequenceBackbone, without_padding
from persona.tasks.recommendation.events import Positions
from persona.tasks.recommendation.metrics import gains
from persona.tasks.recommendation.ranking import blocks
from persona.training.choosing import some_of, weights_of
from persona.training.chunks import Chunks
from persona.training.event_features import EventFeatures
from persona.training.loop import adamw_of, descend, seeded
from persona.training.masked_softmax import masked_cross_entropy
from persona.training.ranking import ranks_of
from persona.training.sampled_candidates import negatives_loss

Changed = Callable[[dict[str, Tensor], Positions], dict[str, Tensor]]


@dataclass(frozen=True)
class HeadConfig:
    """AdamW with a cosine; `chunks` of up to 16 targets a step; validation on at most `validated` queries.

    The loss is a softmax over the catalogue, or, with `negatives`, binary cross-entropy of a target and that many items
    drawn evenly, what was seen before left out.
    """

    epochs: int = 5
    chunks: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    validated: int = 6000
    negatives: int = 0
    seed: int = 0


class Answers(NamedTuple):
    """For each query: the target's rank, and its loss, minus the logarithm of the target's share among items not seen.

    `figures` are those of all queries together that no single one has.
    """

    ranks: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]
    figures: Mapping[str, float] = {}


def train_editor(
    head: EditedHead,
    editor: HeadEditor,
    features: EventFeatures,
    split: tuple[Positions, Positions],
    config: HeadConfig = HeadConfig(),
    broadcast: Broadcast | None = None,
) -> list[float]:
    """Train an editor, and U, V and Q of the head with it, on positions (train, validation); return validation NDCG@10.

    Both are left with the weights of the best epoch, the untrained one included: what learns nothing does no harm.
    """
    train, validation = split
    both = nn.ModuleList([head, cast("nn.Module", editor)])
    asked = some_of(validation, config.validated, config.seed)
    chunks = Chunks(features, train, editor.reach)
    optimizer = adamw_of(both.parameters(), config.learning_rate, config.weight_decay)
    steps = chunks.count(config.chunks)
    total = config.epochs * steps
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, total), 0.1 * config.learning_rate)
    found = [float(gains(answers(head, editor, features, asked, broadcast).ranks, 10).mean())]
    best = weights_of(both)
    with seeded(config.seed):
        for epoch in range(config.epochs):
            both.train()
            rng = np.random.default_rng((config.seed, epoch))
            for step, chunk in enumerate(chunks.batches(config.chunks, rng)):
                deltas = {n: x[chunk.wanted] for n, x in editor(chunk.history).items()}
                query = editor.form.query(features.states[chunk.events], deltas)
                if config.negatives:
                    loss = negatives_loss(query, head.table(broadcast), features, chunk.events, config.negatives, rng)
                else:
                    loss = _softmax_loss(query, head.table(broadcast), features, chunk.events)
                descend(loss, epoch * steps + step, optimizer, rate)
            found.append(float(gains(answers(head, editor, features, asked, broadcast).ranks, 10).mean()))
            if found[-1] > max(found[:-1]):
                best = weights_of(both)
    both.load_state_dict(best)
    both.eval()
    return found


def _softmax_loss(query: Tensor, table: tuple[Tensor, Tensor], features: EventFeatures, events: Positions) -> Tensor:
    targets = torch.from_numpy(features.log.items[events].astype(np.int64))
    return masked_cross_entropy(query, *table, targets, features.seen.before(events))


@torch.no_grad()
def answers(
    head: EditedHead,
    editor: HeadEditor | None,
    features: EventFeatures,
    positions: Positions,
    broadcast: Broadcast | None = None,
    changed: Changed | None = None,
) -> Answers:
    """Return the answers to queries (Q,) under an editor's edits, the head at rest where there is none.

    `changed` maps all deltas {name: (Q, *shape)} to those that are used: the mean of all, another user's.
    """
    deltas = {} if editor is None else all_deltas(editor, features, positions)
    if changed is not None:
        deltas = changed(deltas, positions)
    states = features.states[positions]
    query = head.query(states) if editor is None else editor.form.query(states, deltas)
    return score_queries(query, head.table(broadcast), features, positions)


@torch.no_grad()
def score_queries(
    query: Tensor, table: tuple[Tensor, Tensor], features: EventFeatures, positions: Positions
) -> Answers:
    """Return the answers by query vectors (Q, q) against a table of vectors (I + 1, q) and biases (I + 1,)."""
    vectors, bias = table
    ranks, losses = np.zeros(len(positions)), np.zeros(len(positions))
    for part in blocks(np.arange(len(positions)), len(vectors) - 1):
        scores = nn.functional.linear(query[part], vectors, without_padding(bias))
        targets = torch.from_numpy(features.log.items[positions[part]].astype(np.int64))
        ranks[part] = ranks_of(scores, targets, features.seen.before(positions[part])).numpy()  # seen become -inf
        own = scores.gather(1, targets[:, None])[:, 0]
        losses[part] = (scores.logsumexp(dim=1) - own).numpy()
    return Answers(ranks, losses)


@torch.no_grad()
def answers_of_net(net: SequenceBackbone, features: EventFeatures, positions: Positions) -> Answers:
    """Return the answers of another backbone, which reads no more than the queries' own windows."""
    net.train(False)
    log = features.log
    states = [
        net.state(torch.from_numpy(log.windows(positions[at : at + 512], net.length)))
        for at in range(0, len(positions), 512)
    ]
    return score_queries(torch.cat(states), net.table(), features, positions)


@torch.no_grad()
def all_deltas(editor: HeadEditor, features: EventFeatures, positions: Positions) -> dict[str, Tensor]:
    """Return an editor's deltas {name: (Q, *shape)} for sorted positions (Q,)."""
    training = editor.training
    editor.train(False)
    found: dict[str, Tensor] = {}
    for chunk in Chunks(features, positions, editor.reach).batches(64):
        at = torch.from_numpy(np.searchsorted(positions, chunk.events))
        for name, values in editor(chunk.history).items():
            if name not in found:
                found[name] = values.new_zeros(len(positions), *values.shape[2:])
            found[name][at] = values[chunk.wanted]
    editor.train(training)
    return found


def mean_edit(deltas: Mapping[str, Tensor], positions: Positions) -> dict[str, Tensor]:
    """Return the mean of all edits in the place of each."""
    return {name: values.mean(dim=0, keepdim=True).expand_as(values) for name, values in deltas.items()}


def shuffled_edit(users: npt.NDArray[np.int32], rng: np.random.Generator) -> Changed:
    """Return what puts an edit of another user, drawn at random, in the place of each."""

    def changed(deltas: dict[str, Tensor], positions: Positions) -> dict[str, Tensor]:
        mine = users[positions]
        other = rng.permutation(len(positions))
        for _ in range(100):
            same = np.flatnonzero(mine[other] == mine)
            if not len(same):
                break
            other[same] = rng.integers(len(positions), size=len(same))
        return {name: values[torch.from_numpy(other)] for name, values in deltas.items()}

    return changed
