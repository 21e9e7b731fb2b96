"""What devices hold: made of training windows, the same when read again, and a damaged file is told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from persona.bench.vision.job import Job
from persona.bench.vision.kit import BANKS, POOL, Kits, kept_kits
from persona.bench.vision.rows import Trained
from persona.edit import Array
from persona.errors import TrainingError
from persona.export.build import collect_windows, sketch_spec
from persona.gate import FAMILIAR, STRANGE, SketchGate
from persona.jump import JumpSpec
from persona.training.step import Learner
from tests.bench.vision.conftest import PLAN


@pytest.fixture
def kits(trained: Trained) -> Kits:
    return trained.kits


def file_of(job: Job) -> Path:
    return job.nets / job.plan.name / "seed-0" / "kit.safetensors"


class Untouched:
    """Episodes that nobody may draw from."""

    def sample(self, rng: np.random.Generator) -> None:
        raise AssertionError("a kit that is kept is not made again")


@pytest.fixture(scope="module")
def windows(trained: Trained, job: Job) -> tuple[Array, Array]:
    """Return codes (N, n, d) and features (N, F) of the windows that the kit was made of: the first that are drawn."""
    learner, rng = trained.suite.learner, np.random.default_rng((0, 1))
    episodes = replace(job.task().training(), labels=0.5)
    codes, sketches = collect_windows(learner, sketch_spec(learner), episodes, rng, PLAN.kit_windows)
    return codes, np.stack([first.features(sketch_spec(learner)) for first, _ in sketches])


def test_banks_of_every_size_are_of_the_same_windows(kits: Kits, windows: tuple[Array, Array]) -> None:
    codes, _ = windows
    assert set(kits.banks) == set(BANKS)
    assert len(codes) >= PLAN.kit_windows
    for k, bank in kits.banks.items():
        assert 1 <= len(bank) <= k
        assert bank.counts.sum() == len(codes)
    mean = codes.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(kits.banks[1].codes[0], mean, atol=1e-4)
    assert kits.kit.bank is kits.banks[16]


def test_residuals_shrink_as_banks_grow(kits: Kits, windows: tuple[Array, Array]) -> None:
    codes, _ = windows
    residuals = [bank.distances(codes, bank.assign(codes)).mean() for bank in kits.banks.values()]
    assert all(more < less for less, more in pairwise(residuals))


def test_most_windows_of_training_are_familiar(kits: Kits, windows: tuple[Array, Array]) -> None:
    """The gate is fitted on half of them for directions, on the rest for distances: 80 % weigh 1, 2 % nothing."""
    _, features = windows
    weights = np.array([kits.kit.gate.weight(row) for row in features[1::2]])
    assert (weights == 1).mean() == pytest.approx(FAMILIAR, abs=0.01)
    assert (weights == 0).mean() == pytest.approx(1 - STRANGE, abs=0.01)
    refit = SketchGate.fit(features).to_arrays()
    assert all(np.array_equal(refit[name], value) for name, value in kits.kit.gate.to_arrays().items())


def test_edits_of_the_pool_are_of_many_devices(kits: Kits) -> None:
    spec = kits.kit.learner.model.spec
    assert set(kits.pool) == set(spec.names)
    for tensor in spec.tensors:
        pool = kits.pool[tensor.name]
        assert len(pool) >= POOL
        assert pool.shape[1:] == tensor.shape
        assert not pool.requires_grad
    assert any(pool.std(dim=0).max() > 0 for pool in kits.pool.values())


def test_a_kit_read_again_is_the_same(trained: Trained, job: Job) -> None:
    kits, learner = trained.kits, trained.suite.learner
    again = kept_kits(learner, Untouched(), 0, file_of(job))
    for k, bank in kits.banks.items():
        found = again.banks[k].to_arrays()
        assert all(np.array_equal(found[name], value) for name, value in bank.to_arrays().items())
    one, other = kits.kit, again.kit
    assert all(np.array_equal(other.prior.arrays[name], value) for name, value in one.prior.arrays.items())
    assert all(np.array_equal(other.gate.to_arrays()[name], value) for name, value in one.gate.to_arrays().items())
    assert (other.jump.threshold, other.jump.window) == (one.jump.threshold, one.jump.window) == (one.jump.threshold, 8)
    assert np.array_equal(other.jump.noise, one.jump.noise)
    assert other.learner is learner
    assert np.array_equal(other.sketch.center, one.sketch.center)
    assert np.array_equal(other.sketch.scale, one.sketch.scale)
    assert all(torch.equal(again.pool[name], value) for name, value in kits.pool.items())


@pytest.mark.parametrize("part", ["bank-16/codes", "prior/w1", "gate/center", "jump/limits", "pool/head.weight"])
def test_a_file_that_lacks_a_part_is_told(trained: Trained, job: Job, tmp_path: Path, part: str) -> None:
    arrays = load_file(file_of(job))
    del arrays[part]
    save_file(arrays, tmp_path / "kit.safetensors")
    _refused(trained.suite.learner, tmp_path / "kit.safetensors")


def test_a_file_with_numbers_that_make_no_sense_is_told(trained: Trained, job: Job, tmp_path: Path) -> None:
    arrays = load_file(file_of(job))
    for limits in (np.array([np.nan, 8]), np.zeros(3), np.array(1.0)):
        save_file({**arrays, "jump/limits": limits}, tmp_path / "kit.safetensors")
        _refused(trained.suite.learner, tmp_path / "kit.safetensors")


@pytest.mark.parametrize("size", [0, 5, 1000])
def test_a_file_that_was_cut_off_is_told(trained: Trained, job: Job, tmp_path: Path, size: int) -> None:
    path = tmp_path / "kit.safetensors"
    shutil.copyfile(file_of(job), path)
    path.write_bytes(path.read_bytes()[:size])
    _refused(trained.suite.learner, path)


def _refused(learner: Learner, file: Path) -> None:
    with pytest.raises(TrainingError, match=r"kit\.safetensors is damaged .*; delete the file"):
        kept_kits(learner, Untouched(), 0, file)


def test_the_jump_test_is_that_of_windows_of_one_device(kits: Kits) -> None:
    jump = kits.kit.jump
    assert isinstance(jump, JumpSpec)
    assert jump.noise.shape == (kits.kit.sketch.taps[0].width,)
