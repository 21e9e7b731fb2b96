"""Bytes a reply by codec, what they do to logits, and, where the bundle comes with its encoder, to accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from persona.bench.device.exchange import Exchange, request_of
from persona.bundle import CLOUD_FILE, Bundle, read_cloud_half
from persona.device import DeviceModel, Runtime
from persona.edit import Array, Edit
from persona.encoder import Encoder
from persona.prototypes.reply import edit_offers
from persona.tasks.vision.data import load_test_images
from persona.tasks.vision.streams import StreamShape, Window, make_streams
from persona.wire import AdaptReply, AdaptRequest

CODECS = ("float32", "float16", "int8", "prototype")


def message_bytes(bundle: Bundle) -> dict[str, Any]:
    """Return the bytes of replies by codec and of a request, as messages and as they travel signed."""
    residual = np.full(bundle.decoder.code_shape, 0.5, np.float32)
    exchange = Exchange.of(bundle)
    replies = {codec: _coded(AdaptReply(bundle.fingerprint, 0, 0, 0, residual), codec) for codec in CODECS}
    return {
        "down_bytes": {codec: len(reply.encode()) for codec, reply in replies.items()},
        "down_signed_bytes": {codec: len(exchange.seal(reply)) for codec, reply in replies.items()},
        "up_bytes": len(request_of(bundle).encode()),
        "up_signed_bytes": len(exchange.request),
    }


def whole_edits(bundle: Bundle) -> dict[str, dict[str, float]]:
    """Return bytes and loss by every codec of the first prototype's edit, or of a random one where that is zero."""
    code = bundle.bank.compose(0)
    edit = bundle.decoder.decode(code)
    if any(delta.any() for delta in edit.deltas.values()):
        offers = edit_offers(edit, bundle, code)
    else:  # a decoder that was never trained
        rng = np.random.default_rng(0)
        edit = Edit({t.name: rng.normal(0, t.bound / 8, t.shape).clip(-t.bound, t.bound) for t in bundle.spec.tensors})
        offers = edit_offers(edit, bundle)
    return {offer.codec: {"bytes": offer.size_bytes, "loss": offer.loss} for offer in offers}


def part_bytes(bundle: Bundle) -> dict[str, int]:
    """Return the bytes of the device model (graph and editable weights) and of what an edit needs beside it."""
    sizes = {
        "model": len(bundle.graph) + sum(value.nbytes for value in bundle.weights.values()),
        "decoder": sum(value.nbytes for value in bundle.decoder.to_arrays().values()),
        "bank": sum(value.nbytes for value in bundle.bank.to_arrays().values()),
    }
    return {**sizes, "bundle": len(bundle.to_bytes())}


def logit_errors(bundle: Bundle, codes: int = 64) -> dict[str, float]:
    """Return by codec the root mean square change of logits against float32, over that of float32 against the base.

    The codes are the bank's own, spread as far as its prototypes are from each other.
    """
    rng = np.random.default_rng(0)
    model = DeviceModel(bundle)
    x = rng.random((32, *bundle.input_shape), np.float32)
    base, _ = model.run(x, model.weights(None))
    spread = float(bundle.bank.codes.std()) or 1.0
    errors: dict[str, list[float]] = {codec: [] for codec in CODECS}
    gains: list[float] = []
    for _ in range(codes):
        prototype = int(rng.integers(len(bundle.bank)))
        residual: Array = rng.normal(0, 0.5 * spread, bundle.decoder.code_shape).astype(np.float32)
        whole = AdaptReply(bundle.fingerprint, prototype, bundle.bank.version, 0, residual)
        logits = {codec: _logits(bundle, model, _coded(whole, codec), x) for codec in CODECS}
        gains.append(float(np.mean((logits["float32"] - base) ** 2)))
        for codec in CODECS:
            errors[codec].append(float(np.mean((logits[codec] - logits["float32"]) ** 2)))
    scale = np.sqrt(np.mean(gains)) or 1.0
    return {codec: float(np.sqrt(np.mean(found)) / scale) for codec, found in errors.items()}


def accuracies(folder: Path, bundle: Bundle, devices: int, data: Path | None = None) -> dict[str, float] | None:
    """Return accuracy in % by codec, and of the base, over streams of shifting pictures, each window adapted to itself.

    Right answers of a runtime in which everything is at work that the bundle has. None where the folder has no encoder,
    or the bundle does not read pictures of the data set.
    """
    images = load_test_images(data)
    if not (folder / CLOUD_FILE).exists() or bundle.input_shape != images.images.shape[1:]:
        return None
    encoder = Encoder(read_cloud_half(folder), bundle)
    streams = make_streams(images, "seen", devices, 0, StreamShape(windows_per_segment=2))
    windows = [window for stream in streams for window in stream]
    model = DeviceModel(bundle)
    base = model.weights(None)
    found = {codec: _accuracy(bundle, _Cloud(encoder, bundle, codec), windows) for codec in CODECS}
    rest = [float(np.mean(model.run(w.x, base)[0].argmax(axis=1) == w.y)) for w in windows]
    return {"base": 100 * float(np.mean(rest)), **found}


@dataclass(frozen=True)
class _Cloud:
    """A service without a network that answers in one codec."""

    encoder: Encoder
    bundle: Bundle
    codec: str

    def adapt(self, request: AdaptRequest, code_shape: tuple[int, int]) -> AdaptReply:
        """Return the answer, as it comes off the wire."""
        bank = self.bundle.bank
        code = self.encoder.codes([self.encoder.accept(AdaptRequest.decode(request.encode()))])[0]
        prototype = int(bank.assign(code)[0])
        reply = AdaptReply(request.fingerprint, prototype, bank.version, 0, bank.residual(code, prototype))
        return AdaptReply.decode(_coded(reply, self.codec).encode(), code_shape)


def _accuracy(bundle: Bundle, cloud: _Cloud, windows: Sequence[Window]) -> float:
    right = []
    with Runtime(bundle, cloud) as runtime:
        for window in windows:
            runtime.observe(window.x)
            runtime.adapt()
            right.append(float(np.mean(runtime.predict(window.x).argmax(axis=1) == window.y)))
    return 100 * float(np.mean(right))


def _coded(reply: AdaptReply, codec: str) -> AdaptReply:
    return replace(reply, residual=None) if codec == "prototype" else replace(reply, code_dtype=codec)


def _logits(bundle: Bundle, model: DeviceModel, reply: AdaptReply, x: Array) -> Array:
    read = AdaptReply.decode(reply.encode(), bundle.decoder.code_shape)
    edit = bundle.decoder.decode(bundle.bank.compose(read.prototype, read.residual))
    return model.run(x, model.weights(edit))[0]


def codecs(bundle: Bundle, folder: Path | None, devices: int) -> dict[str, Any]:
    """Return all of this file's figures."""
    return {
        **message_bytes(bundle),
        "whole_edits": whole_edits(bundle),
        "part_bytes": part_bytes(bundle),
        "logit_error": logit_errors(bundle),
        "accuracy": None if folder is None else accuracies(folder, bundle, devices),
    }
