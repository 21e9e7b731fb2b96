"""The tether that export measures: honest codes within its limits, and the default where one edit helps everybody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from persona.bundle import Bundle, CloudHalf, read_bundle, read_cloud_half
from persona.encoder import Encoder
from persona.export import Options, export_bundle
from persona.export.build import collect_windows
from persona.model import EditableModel
from persona.training.loop import AdapterConfig, Schedule, train_adapter
from persona.training.step import Learner
from tests.training.known import Angles

WORLD = Angles(angles=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Learner, Bundle, Path]:
    torch.manual_seed(0)
    model = EditableModel(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)), ["2"], torch.zeros(2, 4))
    learner, _ = train_adapter(model, WORLD.adapter(model), WORLD, AdapterConfig(Schedule(60, 5e-3)))
    folder = tmp_path_factory.mktemp("bundle")
    export_bundle(learner, WORLD, folder, prototypes=4, options=Options(offline=True))
    return learner, read_bundle(folder), folder


def test_honest_codes_lie_within_the_limits_of_windows_drawn_anew(made: tuple[Learner, Bundle, Path]) -> None:
    learner, bundle, _ = made
    tether = bundle.tether
    assert tether is not None
    codes, pairs = collect_windows(learner, bundle.sketch, WORLD, np.random.default_rng(99), 512)
    own = [bundle.bank.own_code(first.features(bundle.sketch)) for first, _ in pairs]
    strains = np.array([tether.strain("code", tether.distance(c, o)) for c, o in zip(codes, own, strict=True)])
    assert 0.6 < np.mean(strains <= 0) < 0.9
    assert np.mean(strains <= 1) > 0.96
    turned = [tether.strain("code", tether.distance(-c, o)) for c, o in zip(codes, own, strict=True)]
    assert np.mean(np.array(turned) > 1) > 0.5


def test_offline_ships_the_encoder_that_the_service_runs(made: tuple[Learner, Bundle, Path]) -> None:
    _, bundle, folder = made
    assert bundle.encoder == read_cloud_half(folder).encoder
    Encoder(CloudHalf(bundle.encoder, bundle.fingerprint), bundle)


def test_an_untrained_learner_can_be_exported_too(tmp_path: Path) -> None:
    model = EditableModel(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), ["2"], torch.zeros(2, 4))
    learner, _ = train_adapter(model, WORLD.adapter(model), WORLD, AdapterConfig(Schedule(1, 1e-9)))
    bundle = export_bundle(learner, WORLD, tmp_path, prototypes=2)
    assert bundle.tether is not None
    assert bundle.encoder is None
