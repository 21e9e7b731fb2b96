"""Adapters of heads: a history → a code → the tensors that a form needs."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from persona.adapters.decoders import DeltaDecoder
from persona.adapters.heads.forms import Form
from persona.adapters.heads.history import History
from persona.adapters.heads.readers import Reader


@runtime_checkable
class HeadEditor(Protocol):
    """A module that makes an edit of a head for each of some targets, out of up to `reach` events before it."""

    form: Form
    reach: int
    training: bool

    def __call__(self, history: History) -> dict[str, Tensor]:
        """Return deltas {name: (B, K, *shape)}."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Turn dropout on or off, as every module does."""
        ...


class HeadAdapter(nn.Module):
    """Reader → normalised code of `code` numbers → decoder: a trained constant edit plus a personal residual.

    Step 0 equals the base. A target with fewer than `least` events before it has the edit at rest: a device that still
    has them all has nothing to be told.
    """

    def __init__(self, reader: Reader, form: Form, code: int = 32, least: int = 10) -> None:
        super().__init__()
        self.reader, self.form, self.least, self.reach = reader, form, least, reader.reach
        self.to_code, self.to_gate = nn.Linear(reader.width, code), nn.Linear(reader.width, 1)
        nn.init.zeros_(self.to_gate.weight)
        self.decoder = DeltaDecoder(form.spec, (1, code), kind="basis")

    def codes(self, history: History) -> Float[Tensor, "b k c"]:
        """Return codes (B, K, c), 0 where the history is too short: times a gate, so that doubt makes them small."""
        context = self.reader(history)
        code = F.layer_norm(self.to_code(context), (self.to_code.out_features,)) * torch.sigmoid(self.to_gate(context))
        return code * self._enough(history)

    def forward(self, history: History) -> dict[str, Tensor]:
        """Return deltas {name: (B, K, *shape)}."""
        return _decoded(self.decoder, self.codes(history), self._enough(history))

    def _enough(self, history: History) -> Tensor:
        return (history.counts(self.reach).sum(dim=2, keepdim=True) >= self.least).float()


class ConstantEditor(nn.Module):
    """One trained edit for everybody: the control that says what is adaptation and what is more training."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form, self.reach = form, 1
        self.values = nn.ParameterList(torch.zeros(tensor.shape) for tensor in form.spec.tensors)

    def forward(self, history: History) -> dict[str, Tensor]:
        """Return the same deltas {name: (B, K, *shape)} for every target."""
        shape = history.distance.shape[:2]
        pairs = zip(self.form.spec.tensors, self.values, strict=True)
        return {t.name: (t.bound * torch.tanh(x)).expand(*shape, *t.shape) for t, x in pairs}


class ClosedFormEditor(nn.Module):
    """The summed head gradient of a user's history, nearer events more, times a learned preconditioner.

    ``edit = tanh(P Σ_e w(distance) surprise_e / (n + κ))``, one sum for each of `decays` rates: no net reads anything.
    """

    def __init__(self, form: Form, d: int, reach: int = 200, decays: int = 3, least: int = 10) -> None:
        super().__init__()
        self.form, self.reach, self.least = form, reach, least
        self.rates = nn.Parameter(torch.linspace(-1.0, -5.0, decays))  # logarithms of how fast each sum forgets
        self.trust = nn.Parameter(torch.full((decays,), 2.0))  # logarithm of κ
        self.decoder = DeltaDecoder(form.spec, (1, decays * d), kind="basis")

    def forward(self, history: History) -> dict[str, Tensor]:
        """Return deltas {name: (B, K, *shape)}."""
        counts = history.counts(self.reach)
        decay = history.distance.clamp(min=0)[..., None].float() * self.rates.exp()
        weights = torch.exp(-decay) * counts[..., None]  # (B, K, N, decays)
        summed = torch.einsum("bkne,bnd->bked", weights, history.surprise)
        gradient = summed / (weights.sum(dim=2) + self.trust.exp())[..., None]
        enough = (counts.sum(dim=2, keepdim=True) >= self.least).float()
        return _decoded(self.decoder, gradient.flatten(2), enough)


def _decoded(decoder: DeltaDecoder, codes: Tensor, enough: Tensor) -> dict[str, Tensor]:
    """Return deltas {name: (B, K, *shape)} of codes (B, K, c), at rest where `enough` (B, K, 1) is 0."""
    shape = codes.shape[:2]
    deltas = decoder(codes.flatten(0, 1)[:, None])
    return {n: x.unflatten(0, shape) * enough.reshape(*shape, *[1] * (x.ndim - 1)) for n, x in deltas.items()}
