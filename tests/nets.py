"""Small modules of the kind a user brings: without normalisation, with it, over sequences, with tied weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from persona.model import EditableModel
from persona.spec import ModelSpec


class PlainNet(nn.Module):
    """No normalisation anywhere: (N, 6) → (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.act = nn.ReLU()
        self.second = nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.first(x))
        logits: Tensor = self.head(self.act(self.second(hidden)) + hidden)
        return logits


class PictureNet(nn.Module):
    """Convolutions of several kinds with batch and group normalisation: (N, 2, 9, 7) → (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding="same", groups=8, padding_mode="reflect")
        self.gn = nn.GroupNorm(2, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        x = torch.relu(self.gn(self.depthwise(x)))
        logits: Tensor = self.head(x.flatten(2).amax(dim=2))
        return logits


class SequenceNet(nn.Module):
    """Layers over (N, T, C), samples first: (N, 5, 4) → (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.embed(x))  # (N, T, 8)
        logits: Tensor = self.head(torch.tanh(self.mix(x)).mean(dim=1))
        return logits


class TiedNet(nn.Module):
    """A head whose weight is that of the first layer: (N, 6) → (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(6, 4, bias=False)
        self.back = nn.Linear(4, 6)
        self.head = nn.Linear(6, 4, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.back(self.embedding(x))))
        return logits


SHAPES: dict[type[nn.Module], tuple[int, ...]] = {
    PlainNet: (6,),
    PictureNet: (2, 9, 7),
    SequenceNet: (5, 4),
    TiedNet: (6,),
}


def editable(kind: type[nn.Module], *patterns: str, seed: int = 0) -> EditableModel:
    """Return a net in evaluation mode with lived-in statistics, some of whose layers may be edited; all by default."""
    dice = torch.Generator().manual_seed(seed)
    net = kind()
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=dice) * 0.3
                value.copy_(1 + noise.abs() if name.endswith("var") or name.startswith(("bn", "gn", "norm")) else noise)
    return EditableModel(net, patterns or ("*",), inputs(kind, 2, seed=seed)).eval()


def inputs(kind: type[nn.Module], count: int, seed: int = 1) -> Tensor:
    """Return a batch (count, …) for a net."""
    return torch.randn(count, *SHAPES[kind], generator=torch.Generator().manual_seed(seed))


def random_deltas(spec: ModelSpec, devices: int, seed: int = 2) -> dict[str, Tensor]:
    """Return an edit for each device, {name: (B, *shape)}, half as large as its bounds allow."""
    dice = torch.Generator().manual_seed(seed)
    return {
        tensor.name: (torch.rand(devices, *tensor.shape, generator=dice) - 0.5) * tensor.bound
        for tensor in spec.tensors
    }
