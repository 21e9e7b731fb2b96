"""What an edit costs a device: inference through editable inputs against baked weights, and a swap part by part.

The two graphs take turns run by run, so that whatever else the machine does falls on both alike; medians are reported.
Inference is the run of a graph whose other inputs are bound; the checks that `DeviceModel.run` makes of x are left out.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import torch
from rich.table import Table

from persona.adapters import PersonaAdapter, SketchEncoder
from persona.backbones.cnn import cnn_bn
from persona.bank import Bank
from persona.bundle import Bundle
from persona.device import DeviceModel
from persona.device.model import open_session, run_bound
from persona.edit import Array, Edit
from persona.export.graph import bake, model_graph
from persona.jump import JumpSpec
from persona.model import EditableModel
from persona.prototypes.reply import ChosenEdit, edit_offers
from persona.sketch import SketchSpec
from persona.trust import SigningKey, open_reply, seal_reply, seal_request
from persona.wire import AdaptReply, AdaptRequest

BATCHES = (1, 32)
Clock = Callable[[], float]


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
    return Bundle(
        graph=model_graph(model),
        weights={name: value.numpy() for name, value in model.base_weights().items()},
        decoder=adapter.decoder.to_numpy(),
        bank=Bank(codes, np.ones(16, np.int64), weight, np.zeros(width, np.float32)),
        sketch=sketch,
        jump=JumpSpec(np.ones(first, np.float32), 1.0, 32),
        input_shape=model.input_shape,
        fingerprint="0" * 64,
    )


def measure(bundle: Bundle, repetitions: int = 2000, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """Return ratios and medians in microseconds, with versions and machine."""
    return {
        "inference": {str(n): _inference(bundle, n, repetitions, clock) for n in BATCHES},
        "swap": _swap(bundle, repetitions, clock),
        "codecs": _codecs(bundle),
        "versions": {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
        "machine": {"system": platform.system(), "processor": platform.machine(), "threads": 1},
        "repetitions": repetitions,
    }


def tables_of(figures: Mapping[str, Any]) -> list[Table]:
    """Return the figures as tables for a terminal."""
    inference = Table(title="Inference, median µs", title_justify="left")
    for name in ("batch", "baked", "editable", "ratio"):
        inference.add_column(name, justify="right")
    for batch, row in figures["inference"].items():
        inference.add_row(batch, f"{row['baked_us']:.1f}", f"{row['editable_us']:.1f}", f"{row['ratio']:.3f}")
    swap = Table(title="Applying a received edit, median µs", title_justify="left")
    for name in ("part", "µs"):
        swap.add_column(name, justify="right")
    for part, value in figures["swap"].items():
        swap.add_row(part.removesuffix("_us").replace("_", " "), f"{value:.1f}")
    codecs = Table(title="A whole edit on the wire, by codec", title_justify="left")
    for name in ("codec", "bytes", "relative error"):
        codecs.add_column(name, justify="right")
    for codec, row in figures["codecs"].items():
        codecs.add_row(codec, f"{row['bytes']:,}", f"{row['loss']:.2g}")
    return [inference, swap, codecs]


def _inference(bundle: Bundle, batch: int, repetitions: int, clock: Clock) -> dict[str, float]:
    x = np.random.default_rng(0).random((batch, *bundle.input_shape), np.float32)
    model = DeviceModel(bundle)
    weights = model.weights(None)
    baked = baked_session(bundle)
    empty, full = baked.io_binding(), model.bind(weights)
    ways: dict[str, Callable[[], Any]] = {
        "baked_us": lambda: run_bound(baked, empty, x),
        "editable_us": lambda: run_bound(model.session, full, x),
    }
    medians = _interleaved(ways, repetitions, clock)
    return {**medians, "ratio": medians["editable_us"] / medians["baked_us"]}


def baked_session(bundle: Bundle) -> onnxruntime.InferenceSession:
    """Return a session of the same graph with the base weights as constants, set up as `DeviceModel`'s."""
    return open_session(bake(bundle.graph, bundle.weights))


def _swap(bundle: Bundle, repetitions: int, clock: Clock) -> dict[str, float]:
    """Return what it takes from a reply's bytes to weights ready to run; a trial and a session rebuild beside it."""
    model = DeviceModel(bundle)
    rng = np.random.default_rng(0)
    residual: Array = rng.normal(0, 0.1, bundle.decoder.code_shape).astype(np.float32)
    data = AdaptReply(bundle.fingerprint, 0, bundle.bank.version, 600, residual).encode()
    shape = bundle.decoder.code_shape
    request = seal_request(
        AdaptRequest(bundle.fingerprint, "sketch", np.zeros(bundle.sketch.n_features, np.float16), 32), bytes(8)
    )
    key = SigningKey.generate()
    sealed = seal_reply(data, request, bundle.fingerprint, key)
    reply = AdaptReply.decode(data, shape)
    edit = bundle.decoder.decode(bundle.bank.compose(reply.prototype, reply.residual))
    x = np.zeros((bundle.support[1], *bundle.input_shape), np.float32)
    weights = model.weights(edit)
    ways: dict[str, Callable[[], Any]] = {
        "verify_and_read_reply_us": lambda: open_reply(sealed, request, bundle.fingerprint, [key.public], shape),
        "decode_code_us": lambda: bundle.decoder.decode(bundle.bank.compose(reply.prototype, reply.residual)),
        "check_and_make_weights_us": lambda: model.weights(edit),
    }
    medians = _interleaved(ways, repetitions, clock)
    trial = _interleaved({"shadow_trial_us": lambda: model.run(x, weights)}, max(repetitions // 10, 3), clock)
    rebuild = _interleaved({"session_rebuild_us": lambda: baked_session(bundle)}, max(repetitions // 50, 3), clock)
    return {**medians, "in_all_without_trial_us": sum(medians.values()), **trial, **rebuild}


def _codecs(bundle: Bundle) -> dict[str, dict[str, float]]:
    """Return bytes and loss by every codec of the first prototype's edit, or of a random one where that is zero."""
    code = bundle.bank.compose(0)
    edit = bundle.decoder.decode(code)
    if not any(delta.any() for delta in edit.deltas.values()):  # a decoder that was never trained
        rng = np.random.default_rng(0)
        edit = Edit({t.name: rng.normal(0, t.bound / 8, t.shape).clip(-t.bound, t.bound) for t in bundle.spec.tensors})
        return _sizes(edit_offers(edit, bundle))
    return _sizes(edit_offers(edit, bundle, code))


def _sizes(offers: list[ChosenEdit]) -> dict[str, dict[str, float]]:
    return {offer.codec: {"bytes": offer.size_bytes, "loss": offer.loss} for offer in offers}


def _interleaved(ways: Mapping[str, Callable[[], Any]], repetitions: int, clock: Clock) -> dict[str, float]:
    """Return the median time of each way in µs; the ways take turns, after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repetitions + 10):
        for name, way in ways.items():
            start = clock()
            way()
            if turn >= 10:
                times[name].append(1e6 * (clock() - start))
    return {name: float(np.median(values)) for name, values in times.items()}
