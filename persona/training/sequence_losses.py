"""What a sequence backbone can be trained by: softmax over the catalogue, over a sample of it, or single negatives.

Each loss is called with the net and a batch of packed windows, and leaves out what a user had seen before an event: it
is neither an alternative to the target nor a negative. With ``seen=None`` everything competes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from persona.backbones.items import PADDING, CandidateBackbone, SequenceBackbone
from persona.errors import TrainingError
from persona.tasks.recommendation.events import EventLog, Positions
from persona.training.masked_softmax import masked_cross_entropy
from persona.training.packing import Batch, prefixes
from persona.training.seen import SeenItems

SequenceLoss = Callable[[CandidateBackbone, Batch, np.random.Generator], Tensor]

# How often a negative that is not one is drawn again before it is left out.
DRAWS = 20


class FullSoftmax:
    """Cross-entropy over the whole catalogue."""

    def __init__(self, seen: SeenItems | None) -> None:
        self.seen = seen

    def __call__(self, net: CandidateBackbone, batch: Batch, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Return the mean loss of a batch's targets."""
        net = keeping_state(net)
        states, targets = states_of(net, batch)
        before = None if self.seen is None else self.seen.before(batch.events, states.device)
        return masked_cross_entropy(states, *net.table(), targets, before)


class SampledSoftmax:
    """Cross-entropy over the target and `samples` items that all targets of a batch share, corrected by log Q.

    Items are drawn by their number of training events, to the power of `alpha`. The others' part of the softmax's
    denominator is estimated without bias, so that with enough samples this is the full softmax (Bengio and Senécal,
    IEEE Transactions on Neural Networks, 2008).
    """

    def __init__(
        self, seen: SeenItems | None, log: EventLog, positions: Positions, samples: int, alpha: float = 0.5
    ) -> None:
        if samples < 1:
            raise TrainingError(f"a softmax over {samples} sampled items has no alternative; draw at least 1")
        counts = np.bincount(log.items[positions], minlength=log.n_items + 1) + 1.0
        weights = counts**alpha
        weights[PADDING] = 0
        self.seen, self.samples, self.shares = seen, samples, weights / weights.sum()
        self._edges = np.cumsum(self.shares)

    def __call__(self, net: CandidateBackbone, batch: Batch, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Return the mean loss of a batch's targets."""
        net = keeping_state(net)
        states, targets = states_of(net, batch)
        vectors, bias = net.table()
        drawn = np.searchsorted(self._edges, rng.random(self.samples) * self._edges[-1], side="right")
        unique, counts = np.unique(drawn, return_counts=True)
        items = torch.from_numpy(unique).to(states.device)
        correction = torch.from_numpy(np.log(counts / (self.samples * self.shares[unique]))).to(states)
        others = states @ vectors[items].T + bias[items] + correction  # (T, unique)
        others = others.masked_fill(self._left_out(batch, unique, targets), -torch.inf)
        own = (states * vectors[targets]).sum(dim=1) + bias[targets]
        return (torch.cat([own[:, None], others], dim=1).logsumexp(dim=1) - own).mean()

    def _left_out(self, batch: Batch, drawn: npt.NDArray[np.int64], targets: Tensor) -> Tensor:
        """Return which drawn items (T, unique) are a row's target, or were seen before it."""
        items = torch.from_numpy(drawn).to(targets.device)
        left_out = items == targets[:, None]
        if self.seen is not None:
            left_out |= self.seen.before(batch.events, targets.device).among(items, self.seen.n_items)
        return left_out


class Negatives:
    """Binary cross-entropy of each target and `negatives` items drawn evenly: the protocol of the SASRec paper.

    With `seen`, negatives are none of the items that the user has met up to the last event trained on.
    """

    def __init__(self, seen: SeenItems | None, log: EventLog, positions: Positions, negatives: int) -> None:
        if negatives < 1:
            raise TrainingError(f"{negatives} negatives teach nothing; draw at least 1 for each target")
        self.seen, self.negatives, self._n_items, self._users = seen, negatives, log.n_items, log.users
        self._until = np.zeros(log.n_users, np.int64)
        np.maximum.at(self._until, log.users[positions], positions)

    def __call__(self, net: CandidateBackbone, batch: Batch, rng: np.random.Generator) -> Float[Tensor, ""]:
        """Return the loss of a batch, summed over a target and its negatives, as a mean over targets."""
        candidates = np.concatenate([batch.targets[:, None], self._draw(batch, rng)], axis=1)
        scores, targets = candidate_scores_of(net, batch, candidates)
        labels = torch.zeros_like(scores)
        labels[:, 0] = 1
        losses = F.binary_cross_entropy_with_logits(scores, labels, reduction="none")
        return losses.masked_fill(targets == PADDING, 0).sum(dim=1).mean()

    def _draw(self, batch: Batch, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return negatives (T, C), padding where a user has met nearly everything."""
        drawn = rng.integers(1, self._n_items + 1, (len(batch.events), self.negatives))
        until = self._until[self._users[batch.events]]
        for _ in range(DRAWS):
            wrong = drawn == batch.targets[:, None]
            if self.seen is not None:
                wrong |= self.seen.first_met(batch.events, drawn) <= until[:, None]
            if not wrong.any():
                return drawn
            drawn[wrong] = rng.integers(1, self._n_items + 1, int(wrong.sum()))
        drawn[wrong] = PADDING
        return drawn


def keeping_state(net: CandidateBackbone) -> SequenceBackbone:
    """Return the net; TrainingError where it keeps no state that a whole catalogue is scored by."""
    if not isinstance(net, SequenceBackbone):
        raise TrainingError(
            f"{type(net).__name__} keeps no state, and a softmax scores a catalogue by one; train it with the loss "
            "'negatives'"
        )
    return net


def states_of(net: SequenceBackbone, batch: Batch) -> tuple[Float[Tensor, "t d"], Tensor]:
    """Return the state before each target of a batch, and the targets (T,), on the net's device."""
    device = net.table()[0].device
    states = net(torch.from_numpy(batch.windows).to(device)).flatten(0, 1)
    return states[torch.from_numpy(batch.places).to(device)], torch.from_numpy(batch.targets).to(device)


def candidate_scores_of(
    net: CandidateBackbone, batch: Batch, candidates: npt.NDArray[np.int64]
) -> tuple[Float[Tensor, "t c"], Tensor]:
    """Return scores of candidates (T, C) in the place of a batch's targets, and the candidates, on the net's device."""
    if isinstance(net, SequenceBackbone):
        (states, _), (vectors, bias) = states_of(net, batch), net.table()
        chosen = torch.from_numpy(candidates).to(states.device)
        return torch.einsum("td,tcd->tc", states, vectors[chosen]) + bias[chosen], chosen
    device = next(net.parameters()).device
    chosen = torch.from_numpy(candidates).to(device)
    return net.score(torch.from_numpy(prefixes(batch, net.length)).to(device), chosen), chosen
