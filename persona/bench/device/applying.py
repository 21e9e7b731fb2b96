"""What it takes from a reply's bytes to its edit in force, part by part, against one step of TENT in the same run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from persona import catalog
from persona.baselines.tent import Tent
from persona.bench.device.exchange import Exchange
from persona.bench.device.inference import session_rebuild_us
from persona.bench.device.timing import Clock, interleaved
from persona.bundle import Bundle
from persona.device import DeviceModel, Weights
from persona.device.guard import check_reply
from persona.edit import Array
from persona.wire import AdaptReply

TENT_WINDOW = 32


def applying(bundle: Bundle, repetitions: int, clock: Clock) -> dict[str, float]:
    """Return medians in µs: each part, all of them in one go, an unsigned reply, the shadow trial, TENT, a new session.

    The reply is signed, and verified as a device does.
    """
    model = DeviceModel(bundle)
    rng = np.random.default_rng(0)
    residual: Array = rng.normal(0, 0.1, bundle.decoder.code_shape).astype(np.float32)
    reply, exchange = AdaptReply(bundle.fingerprint, 0, bundle.bank.version, 600, residual), Exchange.of(bundle)
    data, sealed = reply.encode(), exchange.seal(reply)
    shape, bank, decoder = bundle.decoder.code_shape, bundle.bank, bundle.decoder
    edit = decoder.decode(bank.compose(reply.prototype, reply.residual))
    weights = model.weights(edit)
    in_force: list[Weights] = [weights]

    def swap(new: Weights) -> None:
        in_force[0] = new

    def apply() -> None:
        read = exchange.open(sealed)
        swap(model.weights(decoder.decode(bank.compose(read.prototype, read.residual))))

    ways: dict[str, Callable[[], Any]] = {
        "verify_and_read_us": lambda: exchange.open(sealed),
        "read_unsigned_us": lambda: check_reply(AdaptReply.decode(data, shape), bundle),
        "decode_us": lambda: decoder.decode(bank.compose(reply.prototype, reply.residual)),
        "check_us": lambda: model.weights(edit),
        "swap_us": lambda: swap(weights),
        "in_all_us": apply,
    }
    x = np.zeros((bundle.support[1], *bundle.input_shape), np.float32)
    few = max(repetitions // 10, 3)
    parts = interleaved(ways, repetitions, clock)
    beside = interleaved(
        {"in_all_beside_tent_us": apply, "tent_us": tent_step(bundle), "trial_us": lambda: model.run(x, weights)},
        few, clock,
    )  # fmt: skip
    rebuild = session_rebuild_us(bundle, max(repetitions // 50, 3), clock)
    ratio = beside["in_all_beside_tent_us"] / beside["tent_us"]
    return {**parts, **beside, "of_tent": ratio, "session_rebuild_us": rebuild}


def tent_step(bundle: Bundle) -> Callable[[], Any]:
    """Return one step of TENT on a window, on one thread, on a net of the bundle's kind with fresh weights."""
    torch.set_num_threads(1)
    recipe = bundle.about.get("recipe") or {}
    classes, channels = bundle.sketch.n_classes or 10, bundle.input_shape[0]
    net = catalog.load("backbones", str(recipe.get("backbone", "cnn-bn")))(classes, channels)
    tent = Tent(net.eval(), 0)
    x = torch.rand(TENT_WINDOW, *bundle.input_shape)
    return lambda: tent.step(x)
