"""What is made once for each training seed after training: banks, jump test, prior term, gate, the controls' edits.

It is kept on disk beside the nets, since every process of a run wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from torch import Tensor

from persona.bank import Bank
from persona.bench.vision.ours import Kit
from persona.errors import PersonaError, TrainingError
from persona.export.build import calibrate_jump, collect_windows, sketch_spec
from persona.export.windows import MIXTURE_WINDOWS, fit_mixture
from persona.files import write_whole
from persona.gate import SketchGate
from persona.jump import JumpSpec
from persona.mixture import MixtureTest
from persona.prior import PriorNet
from persona.prototypes.bank import make_bank
from persona.tasks.base import Episodes
from persona.training.evaluate import edits_of
from persona.training.prior import collect_prior_episodes, train_prior
from persona.training.step import Learner, to_tensors

WINDOWS = 2048
PRIOR_SHARE = 1.5  # episodes of the prior term for each of those windows
POOL = 128  # of training devices' edits, which the controls draw from
BANKS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class Kits:
    """The kit with 16 prototypes, banks of other sizes, and edits of training devices: {name: (POOL, *shape)}."""

    kit: Kit
    banks: Mapping[int, Bank]
    pool: Mapping[str, Tensor]


@torch.no_grad()
def make_kits(learner: Learner, episodes: Any, seed: int, count: int = WINDOWS) -> Kits:
    """Return what devices hold beside a trained learner, all of it from `count` windows of training episodes and more.

    `episodes` is a frozen dataclass with the field `labels`, as every sampler of the vision tasks is.
    """
    rng = np.random.default_rng((seed, 1))
    spec = sketch_spec(learner)
    codes, windows = collect_windows(learner, spec, replace(episodes, labels=0.5), rng, count)
    features = np.stack([first.features(spec) for first, _ in windows])
    banks = {k: make_bank(codes, features, k, rng) for k in BANKS}
    sources = (replace(episodes, labels="iid"), replace(episodes, labels="skew"))
    history = collect_prior_episodes(learner, sources, int(PRIOR_SHARE * count), rng)
    with torch.enable_grad():
        prior = train_prior(history, seed)
    own = min(count, MIXTURE_WINDOWS)
    mixture = fit_mixture(learner, replace(episodes, labels=0.5), np.random.default_rng((seed, 2)), own)
    kit = Kit(learner, spec, calibrate_jump(spec, windows), banks[16], prior, SketchGate.fit(features), mixture)
    return Kits(kit, banks, _pool(learner, episodes, rng))


def kept_kits(learner: Learner, episodes: Any, seed: int, file: Path, count: int = WINDOWS) -> Kits:
    """Return the kits that a file keeps, or make them and keep them; TrainingError where the file is damaged."""
    if not file.exists():
        kits = make_kits(learner, episodes, seed, count)
        write_whole(file, save(_to_arrays(kits)))
        return kits
    try:
        return _from_arrays(learner, load_file(file))
    except (OSError, KeyError, TypeError, ValueError, SafetensorError, PersonaError) as error:
        raise TrainingError(f"the kit kept in {file} is damaged ({error}); delete the file") from error


def _to_arrays(kits: Kits) -> dict[str, Any]:
    jump = kits.kit.jump
    parts: dict[str, Mapping[str, Any]] = {
        **{f"bank-{k}": bank.to_arrays() for k, bank in kits.banks.items()},
        "prior": kits.kit.prior.arrays,
        "gate": kits.kit.gate.to_arrays(),
        "mixture": {} if kits.kit.mixture is None else kits.kit.mixture.to_arrays(),
        "jump": {"noise": jump.noise, "limits": np.array([jump.threshold, jump.window])},
        "pool": {name: value.numpy() for name, value in kits.pool.items()},
    }
    return {f"{part}/{name}": np.ascontiguousarray(a) for part, arrays in parts.items() for name, a in arrays.items()}


def _from_arrays(learner: Learner, arrays: Mapping[str, Any]) -> Kits:
    def within(part: str) -> dict[str, Any]:
        start = f"{part}/"
        return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}

    banks = {k: Bank.from_arrays(within(f"bank-{k}"), 1) for k in BANKS}
    threshold, window = within("jump")["limits"]
    jump = JumpSpec(within("jump")["noise"], float(threshold), int(window))
    prior, gate = PriorNet(within("prior")), SketchGate.from_arrays(within("gate"))
    mixture = MixtureTest.from_arrays(within("mixture")) if within("mixture") else None
    kit = Kit(learner, sketch_spec(learner), jump, banks[16], prior, gate, mixture)
    pool = {name: torch.from_numpy(within("pool")[name]) for name in learner.model.spec.names}
    return Kits(kit, banks, pool)


def _pool(learner: Learner, episodes: Episodes, rng: np.random.Generator) -> dict[str, Tensor]:
    parts: list[dict[str, Tensor]] = []
    while sum(len(next(iter(part.values()))) for part in parts) < POOL:
        batch = episodes.sample(rng)
        parts.append(edits_of(learner, to_tensors(batch.support, batch.support_labels)[0]))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
