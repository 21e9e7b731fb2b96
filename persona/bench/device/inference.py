"""Inference through editable inputs against the same graph with baked weights; a new session beside both.

The checks that `DeviceModel.run` makes of x are left out on both sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from persona.bench.device.bundles import baked_graph
from persona.bench.device.timing import Clock, interleaved
from persona.bundle import Bundle
from persona.device import DeviceModel
from persona.device.ort_graph import OrtGraph, open_session

BATCHES = (1, 32)


def inference(bundle: Bundle, repetitions: int, clock: Clock) -> dict[str, Any]:
    """Return medians in µs by batch, with their ratio."""
    return {str(batch): _of_batch(bundle, batch, repetitions, clock) for batch in BATCHES}


def session_rebuild_us(bundle: Bundle, repetitions: int, clock: Clock) -> float:
    """Return what a swap would take if it were a new session of a baked graph, baking left out."""
    baked = baked_graph(bundle)
    return interleaved({"rebuild": lambda: open_session(baked)}, repetitions, clock)["rebuild"]


def _of_batch(bundle: Bundle, batch: int, repetitions: int, clock: Clock) -> dict[str, float]:
    x = np.random.default_rng(0).random((batch, *bundle.input_shape), np.float32)
    editable = DeviceModel(bundle).weights(None).run
    baked = OrtGraph(baked_graph(bundle)).bind({})
    medians = interleaved({"baked_us": lambda: baked(x), "editable_us": lambda: editable(x)}, repetitions, clock)
    return {**medians, "ratio": medians["editable_us"] / medians["baked_us"]}
