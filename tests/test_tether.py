"""The tether: distances under its metric, strains between its limits, and no nonsense read back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona.bundle import Bundle
from persona.errors import BundleError, PersonaError, SpecError
from persona.tether import Limits, Tether
from tests.tiny_bundles import tiny_bundle

USUAL = Limits(1, 2, 1.5, 3, 0.125, 0.25)
MOST = Limits(2, 4, 2.5, 5, 0.5, 0.75)
TETHER = Tether(np.diag([3, 4, 1, 1]).astype(np.float32), USUAL, MOST, default=1)


def test_a_distance_is_measured_by_the_metric() -> None:
    assert TETHER.distance([[1, 1, 0, 0]], [[0, 0, 0, 0]]) == 5.0


@pytest.mark.parametrize(
    ("figure", "value", "slack", "wanted"),
    [
        ("code", 1, 1, 0),
        ("code", 2, 1, 1),
        ("code", 5, 1, 4),
        ("code", 0, 1, -1),
        ("code", 2, 2, 0),
        ("flips", 0.5, 1, 1),
    ],
)
def test_a_strain_is_0_at_what_is_usual_and_1_at_the_most(
    figure: str, value: float, slack: float, wanted: float
) -> None:
    assert TETHER.strain(figure, value, slack) == pytest.approx(wanted)


@pytest.mark.parametrize("default", [None, 0, 1])
def test_a_bundle_carries_it(default: int | None) -> None:
    bundle = replace(tiny_bundle(), tether=replace(TETHER, default=default))
    found = Bundle.from_bytes(bundle.to_bytes()).tether
    assert found is not None
    assert (found.usual, found.most, found.default) == (USUAL, MOST, default)
    np.testing.assert_array_equal(found.metric, TETHER.metric)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"metric": np.ones((2, 3), np.float32)}, "wanted a square"),
        ({"metric": np.full((2, 2), np.nan, np.float32)}, "all finite"),
        ({"usual": MOST, "most": USUAL}, "usually more"),
        ({"default": -2}, "default is prototype -2"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        replace(TETHER, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan, 2.0])
def test_limits_that_make_no_sense_are_refused(value: float) -> None:
    with pytest.raises(SpecError, match="limits"):
        replace(MOST, flips=value)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("limits", np.ones((2, 5), np.float32)),
        ("limits", np.full((2, 6), np.nan, np.float32)),
        ("metric", np.ones(4, np.float32)),
        ("default", np.array([0.5], np.float32)),
        ("default", np.array([np.inf], np.float32)),
        ("default", np.zeros(2, np.float32)),
    ],
)
def test_arrays_that_lie_are_refused(name: str, array: np.ndarray) -> None:
    with pytest.raises(PersonaError):
        Tether.from_arrays({**TETHER.to_arrays(), name: array})
    with pytest.raises(SpecError, match="lacks the array"):
        Tether.from_arrays({k: v for k, v in TETHER.to_arrays().items() if k != name})


@pytest.mark.parametrize("tether", [replace(TETHER, default=2), replace(TETHER, metric=np.eye(3, dtype=np.float32))])
def test_a_tether_of_another_bank_is_refused(tether: Tether) -> None:
    with pytest.raises(BundleError, match="tether measures codes of width"):
        replace(tiny_bundle(), tether=tether)
