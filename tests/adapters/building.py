"""Adapters of every sort, and contexts for them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import nn

from persona import catalog
from persona.adapters import BothEncoder, ImageSetEncoder, PersonaAdapter, SketchEncoder
from persona.adapters.persona import Context, Encoder
from persona.adapters.transfer import TRANSFERS
from persona.model import EditableModel

# With batch and with group normalisation; how larger nets are edited is a matter of the model, not of the adapter.
BACKBONES = ["cnn-bn", "cnn-gn"]
PICTURE = (1, 12, 12)
# Every combination of what an adapter may be made of; "dense" is another name of "basis".
OPTIONS = [
    {"encoder": encoder, "transfer": transfer, "decoder": decoder}
    for encoder, transfer, decoder in product(("sketch", "images", "both"), sorted(TRANSFERS), ("kernel", "basis"))
]
# Each part with each other part of its neighbours once: enough where a combination is not what is in question.
FEW = [OPTIONS[i] for i in range(0, len(OPTIONS), 3)]


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
    makers: dict[str, Callable[[], Encoder]] = {
        "sketch": lambda: SketchEncoder(model.n_features, 24),
        "images": lambda: ImageSetEncoder(PICTURE[0], 24),
        "both": lambda: BothEncoder(model.n_features, PICTURE[0], 24),
    }
    return PersonaAdapter(model.spec, makers[encoder](), **{"code": 8, **options})


def trained(adapter: PersonaAdapter, seed: int = 3) -> PersonaAdapter:
    """Give every parameter of an adapter a value of its own, as training would."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=dice))
    return adapter


def contexts(adapter: PersonaAdapter, model: EditableModel, count: int, samples: int = 5, seed: int = 4) -> Context:
    """Return what the adapter reads: features (B, F), pictures (B, S, 1, 12, 12), or both."""
    dice = torch.Generator().manual_seed(seed)
    features = torch.randn(count, model.n_features, generator=dice)
    if adapter.context == "sketch":
        return features
    pictures = torch.rand(count, samples, *PICTURE, generator=dice)
    return pictures if adapter.context == "samples" else (features, pictures)


def row_of(context: Context, row: int) -> Context:
    """Return one device's context, as a batch of one."""
    if isinstance(context, tuple):
        features, samples = context
        return features[row : row + 1], samples[row : row + 1]
    return context[row : row + 1]
