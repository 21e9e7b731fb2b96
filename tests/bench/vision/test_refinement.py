"""Refinement on trial: prototypes that follow a population, and stay where they would lose."""

from __future__ import annotations

import numpy as np
import pytest

from persona.bank import Bank
from persona.bench.vision.job import Job
from persona.bench.vision.refinement import REFRESH_WINDOWS, refinement_rows, refreshed_banks
from persona.bench.vision.rows import Trained
from persona.bench.vision.store import unpack
from persona.edit import Array

WINDOWS, DEVICES = 6, 8


def bank() -> Bank:
    """Return two prototypes far apart."""
    codes = np.array([[[0, 0]], [[100, 0]]], np.float32)
    return Bank(codes, np.array([4, 4]), np.zeros((3, 2), np.float32), np.zeros(2, np.float32))


def population(drift: Array) -> Array:
    """Return codes (D, W, 1, 2): half of the even and of the odd devices at each prototype, moved by a drift (D, W)."""
    codes = np.zeros((DEVICES, WINDOWS, 1, 2), np.float32)
    codes[DEVICES // 2 :, ..., 0] = 100
    codes[..., 1] += drift[..., None]
    return codes


def test_a_population_that_moved_takes_its_prototypes_along() -> None:
    found = refreshed_banks(bank(), population(np.full((DEVICES, WINDOWS), 5.0)))
    assert len(found) == WINDOWS
    assert [b.version for b in found[: REFRESH_WINDOWS + 1]] == [1] * REFRESH_WINDOWS + [2]
    for one in found[REFRESH_WINDOWS:]:
        np.testing.assert_allclose(one.codes[:, 0], [[0, 5], [100, 5]], atol=1e-5)


def test_a_bank_knows_only_of_windows_that_are_over() -> None:
    """A drift that begins in the last window leaves every bank alone."""
    drift = np.zeros((DEVICES, WINDOWS))
    drift[:, -1] = 5.0
    calm = refreshed_banks(bank(), population(np.zeros((DEVICES, WINDOWS))))
    moved = refreshed_banks(bank(), population(drift))
    for one, other in zip(calm, moved, strict=True):
        assert np.array_equal(one.codes, other.codes)


def test_what_loses_on_held_back_codes_is_refused() -> None:
    """Only the devices that feed the statistics move; those held back stay."""
    drift = np.zeros((DEVICES, WINDOWS))
    drift[::2] = 5.0
    found = refreshed_banks(bank(), population(drift))
    assert {b.version for b in found} == {1}


def test_older_codes_count_less() -> None:
    """Window by window two steps further: after the first refresh a prototype is nearer to the newer codes' mean."""
    drift = np.broadcast_to(2.0 * np.arange(WINDOWS), (DEVICES, WINDOWS))
    found = refreshed_banks(bank(), population(drift))
    older, newer = 0.5 ** (1 / 3), 1.0  # a half-life of three windows
    assert found[2].codes[0, 0, 1] == pytest.approx((0 * older + 2 * newer) / (older + newer), rel=1e-4)
    heights = [b.codes[0, 0, 1] for b in found[::2]]
    assert heights == sorted(heights)
    assert heights[0] == 0 < heights[1] < heights[2]


def test_rows_are_right_answers_of_every_device_and_window(job: Job, trained: Trained) -> None:
    rows, first = refinement_rows(job, 0, 11)
    assert set(rows) == {"refinement/off", "refinement/on", "refinement/whole code"}
    assert first == [0] * 4
    for name, row in rows.items():
        counts = unpack(row["same"], len(first))
        assert counts.shape == (2, 4)
        assert counts.min() >= 0
        assert counts.max() <= 8
        assert row["default"] == (name == "refinement/on")
        assert row["reference"] == (name == "refinement/whole code")
    before = [unpack(rows[f"refinement/{name}"]["same"], 4)[:, :REFRESH_WINDOWS] for name in ("off", "on")]
    assert np.array_equal(*before), "until the first refresh both have the same bank"
