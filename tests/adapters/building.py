"""Adapters of every sort, and contexts for them."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from persona import catalog
from persona.adapters import ImageSetEncoder, PersonaAdapter, SketchEncoder
from persona.adapters.transfer import TRANSFERS
from persona.model import EditableModel

BACKBONES = sorted(catalog.CATALOG["backbones"])
PICTURE = (1, 12, 12)
# Every combination of what an adapter may be made of; "dense" is another name of "basis".
OPTIONS = [
    {"encoder": encoder, "transfer": transfer, "decoder": decoder}
    for encoder, transfer, decoder in product(("sketch", "images"), sorted(TRANSFERS), ("kernel", "basis"))
]


def label(options: dict[str, str]) -> str:
    return "-".join(options.values())


def backbone_model(name: str) -> EditableModel:
    """Return a backbone with an edited layer of every kind; its third convolution is large enough for a kernel map."""
    torch.manual_seed(0)
    net: nn.Module = catalog.load("backbones", name)()
    return EditableModel(net, ["conv3", "norm?", "head"], torch.zeros(2, *PICTURE)).eval()


def adapter_for(model: EditableModel, encoder: str = "sketch", seed: int = 1, **options: Any) -> PersonaAdapter:
    """Return an adapter as it is made, every delta zero."""
    torch.manual_seed(seed)
    made = SketchEncoder(model.n_features, 24) if encoder == "sketch" else ImageSetEncoder(PICTURE[0], 24)
    return PersonaAdapter(model.spec, made, **{"code": 8, **options})


def trained(adapter: PersonaAdapter, seed: int = 3) -> PersonaAdapter:
    """Give every parameter of an adapter a value of its own, as training would."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=dice))
    return adapter


def contexts(adapter: PersonaAdapter, model: EditableModel, count: int, samples: int = 5, seed: int = 4) -> Tensor:
    """Return what the adapter reads: features (B, F) or pictures (B, S, 1, 12, 12)."""
    dice = torch.Generator().manual_seed(seed)
    if adapter.context == "sketch":
        return torch.randn(count, model.n_features, generator=dice)
    return torch.rand(count, samples, *PICTURE, generator=dice)
