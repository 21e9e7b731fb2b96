"""Windows whose samples share a domain against windows of several: a world where the domains' offsets are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from persona.edit import Array
from persona.errors import DataError, SpecError
from persona.mixture import MixtureTest

M, N = 6, 32


def windows(count: int, seed: int, spread: float = 3.0) -> Array:
    """Return windows (count, N, M) of one domain each: noise of unit size around an offset of its own."""
    rng = np.random.default_rng(seed)
    return (spread * rng.normal(size=(count, 1, M)) + rng.normal(size=(count, N, M))).astype(np.float32)


def mixed(count: int, seed: int, domains: int) -> Array:
    """Return windows put together from equal parts of so many domains."""
    parts = windows(count * domains, seed).reshape(count, domains, N, M)
    return np.stack([window[np.arange(N) % domains, np.arange(N)] for window in parts])


@pytest.fixture(scope="module")
def test() -> MixtureTest:
    return MixtureTest.fit(windows(512, 0), np.random.default_rng(1))


def test_windows_of_one_domain_count_whole_and_of_many_for_nothing(test: MixtureTest) -> None:
    assert np.mean([test.share(window) == 1 for window in windows(200, 2)]) > 0.95
    assert np.mean([test.share(window) == 0 for window in mixed(200, 3, 16)]) > 0.95
    assert np.mean([test.share(window) < 1 for window in mixed(200, 4, 2)]) > 0.5


def test_the_order_of_samples_does_not_matter_and_their_place_hardly(test: MixtureTest) -> None:
    window = mixed(1, 5, 2)[0]
    assert test.share(window[::-1]) == pytest.approx(test.share(window), abs=1e-5)
    assert test.share(windows(1, 6)[0] + 5) == 1


def test_few_samples_are_believed_and_those_not_finite_left_out(test: MixtureTest) -> None:
    window = mixed(1, 7, 16)[0]
    assert test.share(window) == 0
    assert test.share(window[:7]) == 1
    broken = np.concatenate([window, np.full((2, M), np.nan, np.float32)])
    assert test.share(broken) == 0
    assert test.share(broken[-2:]) == 1
    assert test.share(np.zeros((0, M))) == 1


def test_there_and_back(test: MixtureTest) -> None:
    again = MixtureTest.from_arrays(test.to_arrays())
    for window in (windows(1, 8)[0], mixed(1, 9, 2)[0]):
        assert again.share(window) == test.share(window)


def test_domains_that_are_all_alike_are_never_told_apart() -> None:
    alike = MixtureTest.fit(windows(256, 10, spread=0.0), np.random.default_rng(1))
    assert np.mean([alike.share(window) == 1 for window in windows(200, 11, spread=0.0)]) > 0.95


@pytest.mark.parametrize(
    "found",
    [windows(31, 0), windows(40, 0)[:, :7], windows(40, 0)[0], np.full((40, N, M), np.inf)],
    ids=["few windows", "few samples", "one window", "not finite"],
)
def test_it_is_not_made_of_just_anything(found: Any) -> None:
    with pytest.raises(DataError, match="a mixture test cannot be made"):
        MixtureTest.fit(found, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": np.zeros(M, np.float32)}, "least scale 0"),
        ({"weights": np.zeros((1, M), np.float32)}, "weights has shape"),
        ({"limits": np.array([1, 1], np.float32)}, "second limit above"),
        ({"center": np.full(M, np.nan, np.float32)}, "center has shape"),
    ],
)
def test_parts_that_make_no_sense_are_refused(test: MixtureTest, change: dict[str, Array], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        replace(test, **change)


def test_moments_of_another_width_are_refused(test: MixtureTest) -> None:
    with pytest.raises(DataError, match=r"needs \(N, 6\)"):
        test.share(np.zeros((N, M + 1)))
    with pytest.raises(SpecError, match="lacks the array 'limits'"):
        MixtureTest.from_arrays({k: v for k, v in test.to_arrays().items() if k != "limits"})
