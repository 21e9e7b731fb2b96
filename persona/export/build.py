"""Learner → bundle: cluster the codes of training windows, calibrate the jump test, write both halves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from persona.bundle import CONTEXTS, Bundle, write_export
from persona.edit import Array
from persona.errors import ExportError
from persona.export.graph import encoder_graph, model_graph
from persona.export.tether import calibrate_tether
from persona.export.windows import fit_mixture, sketches_of
from persona.gate import SketchGate
from persona.jump import JumpSpec
from persona.prior import PriorNet
from persona.prototypes.bank import make_bank
from persona.renorm import Renorm
from persona.sketch import Sketch, SketchSpec
from persona.tasks.base import Episodes
from persona.training.step import Learner, to_tensors

# Windows behind the bank and the jump test; the share of windows within a domain that may raise a false alarm.
WINDOWS = 1024
JUMP_QUANTILE = 0.95
# Below this spread a feature says nothing about a jump, and must not be divided by.
SMALLEST_NOISE = 1e-3


@dataclass(frozen=True)
class Options:
    """What a bundle has beside the learner.

    `prior` the prior term's net, trained on this learner (`persona.training.prior`). `gate` True turns edits and the
    prior term down where a sketch is unlike those of training windows; None does so where there is a prior term, which
    does harm without. A gate suits a learner whose training knew edits of partial strength. `mixture` True turns edits
    down where the samples of a device are of several domains; None does so where the learner leaves statistics to the
    device, or there is a gate. `offline` gives devices the encoder too. `seed` of the dice.
    """

    gate: bool | None = None
    mixture: bool | None = None
    prior: PriorNet | None = None
    offline: bool = False
    seed: int = 0

    @property
    def gated(self) -> bool:
        """Whether the bundle gets a gate."""
        return self.prior is not None if self.gate is None else self.gate


def export_bundle(
    learner: Learner,
    episodes: Episodes,
    folder: Path,
    *,
    prototypes: int = 16,
    about: Mapping[str, Any] | None = None,
    options: Options = Options(),
) -> Bundle:
    """Write ``device.persona`` and ``cloud.persona`` to a folder and return the bundle.

    The bank holds the centres of the codes of training windows; the jump test is calibrated on pairs of windows of one
    device, the tether on windows drawn anew. What the learner leaves to the device (`renorm`) always goes in.
    ExportError where the model cannot be traced, the adapter reads what no device sends, or the folder cannot be
    written; nothing is half-written.
    """
    if learner.adapter.context not in CONTEXTS:
        raise ExportError(
            f"an adapter that reads {learner.adapter.context} is not exported yet: devices send one of "
            f"{', '.join(CONTEXTS)}; train one that reads either"
        )
    rng = np.random.default_rng(options.seed)
    sketch = sketch_spec(learner)
    codes, windows = collect_windows(learner, sketch, episodes, rng)
    features = np.stack([first.features(sketch) for first, _ in windows])
    model = learner.model
    bank = make_bank(codes, features, prototypes, rng)
    encoder = encoder_graph(learner.adapter, sketch.n_features, model.input_shape)
    bundle = Bundle(
        graph=model_graph(model),
        weights={name: value.cpu().numpy() for name, value in model.base_weights().items()},
        decoder=learner.adapter.decoder.to_numpy(),
        bank=bank,
        sketch=sketch,
        jump=calibrate_jump(sketch, windows),
        input_shape=model.input_shape,
        context=learner.adapter.context,
        support=_support(windows),
        about=dict(about or {}),
        renorm=_renorm(learner),
        gate=SketchGate.fit(features) if options.gated else None,
        prior=options.prior,
        tether=calibrate_tether(learner, sketch, bank, episodes, rng),
        mixture=fit_mixture(learner, episodes, rng) if _tests_mixture(learner, options) else None,
        encoder=encoder if options.offline else None,
    )
    return write_export(folder, bundle, encoder)


def sketch_spec(learner: Learner) -> SketchSpec:
    """Return the sketch that devices take: the learner's taps and standardisation."""
    center, scale = (value.cpu().numpy().astype(np.float32) for value in (learner.center, learner.scale))
    return SketchSpec(learner.model.tap_specs, learner.model.n_classes, center, scale)


def collect_windows(
    learner: Learner, spec: SketchSpec, episodes: Episodes, rng: np.random.Generator, count: int = WINDOWS
) -> tuple[Array, list[tuple[Sketch, Sketch]]]:
    """Return codes (N, n, d) of at least `count` supports, and for each the sketches of support and query."""
    codes: list[Array] = []
    windows: list[tuple[Sketch, Sketch]] = []
    learner.model.eval()
    with torch.no_grad():
        while len(windows) < count:
            batch = episodes.sample(rng)
            support, _ = to_tensors(batch.support, batch.support_labels)
            query, _ = to_tensors(batch.query, batch.query_labels)
            codes.append(learner.see(support).codes.cpu().numpy())
            pairs = zip(sketches_of(learner, spec, support), sketches_of(learner, spec, query), strict=True)
            windows.extend(pairs)
    return np.concatenate(codes), windows


def calibrate_jump(spec: SketchSpec, windows: list[tuple[Sketch, Sketch]]) -> JumpSpec:
    """Return the jump test whose false alarms within a domain are 5 % (method §7)."""
    differences = np.stack([a.tap_features(spec, 1) - b.tap_features(spec, 1) for a, b in windows])
    noise = np.maximum(np.sqrt(np.mean(differences**2, axis=0)), SMALLEST_NOISE).astype(np.float32)
    distances = np.sqrt(np.mean((differences / noise) ** 2, axis=1))
    threshold = float(np.quantile(distances, JUMP_QUANTILE))
    if not threshold > 0:
        raise ExportError(
            "windows of one device never differ, so no jump can be told; give episodes of distinct samples"
        )
    window = min(min(a.count, b.count) for a, b in windows)
    return JumpSpec(noise, threshold, window)


def _renorm(learner: Learner) -> Renorm | None:
    """Return what the device adds by itself; None where the learner has none, or no layer for it."""
    renorm = None if learner.renorm is None else learner.renorm.to_numpy(learner.model)
    return renorm if renorm is not None and renorm.layers else None


def _tests_mixture(learner: Learner, options: Options) -> bool:
    if options.mixture is not None:
        return options.mixture
    return options.gated or _renorm(learner) is not None


def _support(windows: list[tuple[Sketch, Sketch]]) -> tuple[int, int]:
    """Ask from a quarter of a training window on; remember as much as one."""
    size = max(first.count for first, _ in windows)
    return max(size // 4, 1), size
