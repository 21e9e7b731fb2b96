"""A recipe: what a model and its adapter are built from, so that a saved run can be built again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
from torch import nn

from persona import catalog
from persona.adapters.decoders import DecoderKind
from persona.adapters.encoders import BothEncoder, ImageSetEncoder, SketchEncoder
from persona.adapters.persona import PersonaAdapter
from persona.adapters.transfer import Transfer
from persona.errors import TrainingError
from persona.model.editable import EditableModel
from persona.spec import ModelSpec


@dataclass(frozen=True)
class Recipe:
    """`backbone` a catalogue name or ``module:callable``; `editable` patterns; the rest as in `PersonaAdapter`.

    `classes` and `channels` are passed to the backbone where they are given. `grid` g taps the input on g × g cells,
    `rho` bounds an edit relative to its tensor, and `noise` is what training adds to standardised sketch features.
    """

    backbone: str = "cnn-bn"
    editable: tuple[str, ...] = ("norm*", "head")
    encoder: Literal["sketch", "images", "both"] = "sketch"
    code: int = 16
    transfer: Transfer = "shared"
    decoder: DecoderKind = "kernel"
    rank: int = 4
    rho: float = 1.0
    grid: int = 0
    noise: float = 0.0
    classes: int | None = None
    channels: int | None = None

    def build_base(self) -> nn.Module:
        """Return the backbone with fresh weights."""
        sizes = {"classes": self.classes, "channels": self.channels}
        given = {name: size for name, size in sizes.items() if size is not None}
        module: nn.Module = catalog.load("backbones", self.backbone)(**given)
        return module

    def build_model(self, base: nn.Module, input_shape: Sequence[int]) -> EditableModel:
        """Return an editable copy of a base; TrainingError where the backbone does not run on samples of that shape."""
        try:
            base(torch.zeros(2, *input_shape))
        except (RuntimeError, IndexError, TypeError) as error:
            raise TrainingError(
                f"backbone {self.backbone!r} does not run on float32 samples of shape {tuple(input_shape)}: {error}"
            ) from error
        return EditableModel(base, self.editable, torch.zeros(2, *input_shape), grid=self.grid, rho=self.rho)

    def build_adapter(self, model: EditableModel) -> PersonaAdapter:
        """Return a fresh adapter for a model."""
        encoder: SketchEncoder | ImageSetEncoder | BothEncoder
        if self.encoder not in ("sketch", "images", "both"):
            raise TrainingError(f"encoder {self.encoder!r} is unknown; wanted sketch, images or both")
        if self.encoder != "sketch" and len(model.input_shape) != 3:
            raise TrainingError(
                f"encoder {self.encoder!r} reads pictures (channels, height, width), samples here have shape "
                f"{model.input_shape}; use encoder 'sketch'"
            )
        if self.encoder == "sketch":
            encoder = SketchEncoder(model.n_features, noise=self.noise)
        elif self.encoder == "images":
            encoder = ImageSetEncoder(model.input_shape[0])
        else:
            encoder = BothEncoder(model.n_features, model.input_shape[0])
        return PersonaAdapter(
            model.spec, encoder, code=self.code, transfer=self.transfer, decoder=self.decoder, rank=self.rank
        )

    def try_out(self, input_shape: Sequence[int]) -> None:
        """Build model and adapter once, and run them; SpecError or TrainingError where they do not fit."""
        model = self.build_model(self.build_base(), input_shape)
        adapter = self.build_adapter(model)
        features, samples = torch.zeros(1, model.n_features), torch.zeros(1, 2, *input_shape)
        with torch.no_grad():
            adapter({"sketch": features, "samples": samples, "both": (features, samples)}[adapter.context])

    def rebuild(self, spec: ModelSpec, input_shape: Sequence[int]) -> tuple[EditableModel, PersonaAdapter]:
        """Return model and adapter with the bounds of a saved spec, ready to load their weights."""
        model = self.build_model(self.build_base(), input_shape)
        if [(t.name, t.shape) for t in model.spec.tensors] != [(t.name, t.shape) for t in spec.tensors]:
            raise TrainingError(
                f"backbone {self.backbone!r} has other editable tensors than the saved run; was its code changed?"
            )
        model.spec = spec
        return model, self.build_adapter(model)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read what `to_json` wrote, by this release or an earlier one; TrainingError where it has other fields."""
        known = {field.name for field in fields(cls)}
        if not {"backbone", "editable"} <= set(value) <= known:
            raise TrainingError(f"a recipe has the fields {sorted(value)}; this release wants {sorted(known)}")
        return cls(**{**value, "editable": tuple(value["editable"])})
