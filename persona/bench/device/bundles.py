"""A bundle to measure where none is given, and the same graph with its weights as constants."""

from __future__ import annotations

import numpy as np
import torch

from persona.adapters import PersonaAdapter, SketchEncoder
from persona.backbones.cnn import cnn_bn
from persona.bank import Bank
from persona.bundle import Bundle
from persona.export.graph import bake, model_graph
from persona.jump import JumpSpec
from persona.model import EditableModel
from persona.sketch import SketchSpec


def untrained_bundle() -> Bundle:
    """Return a bundle of fresh weights: time does not depend on their values."""
    torch.manual_seed(0)
    model = EditableModel(cnn_bn().eval(), ("norm*", "head"), torch.zeros(2, 1, 28, 28))
    adapter = PersonaAdapter(model.spec, SketchEncoder(model.n_features))
    sketch = SketchSpec.unscaled(model.tap_specs, model.n_classes)
    rng = np.random.default_rng(0)
    width = adapter.code_shape[0] * adapter.code_shape[1]
    codes = rng.normal(size=(16, *adapter.code_shape)).astype(np.float32)
    weight = np.zeros((sketch.n_features, width), np.float32)
    first = sketch.taps[0].width
    whole = Bundle(
        graph=model_graph(model),
        weights={name: value.numpy() for name, value in model.base_weights().items()},
        decoder=adapter.decoder.to_numpy(),
        bank=Bank(codes, np.ones(16, np.int64), weight, np.zeros(width, np.float32)),
        sketch=sketch,
        jump=JumpSpec(np.ones(first, np.float32), 1.0, 32),
        input_shape=model.input_shape,
    )
    return Bundle.from_bytes(whole.to_bytes())


def baked_graph(bundle: Bundle) -> bytes:
    """Return the graph of a device without edits: the base weights are constants."""
    return bake(bundle.graph, bundle.weights)
