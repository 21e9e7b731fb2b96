import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.base import EpisodeBatch


def test_any_sample_shape_will_do() -> None:
    batch = EpisodeBatch(np.zeros((2, 3, 50), int), np.zeros((2, 3)), np.zeros((2, 1)), np.zeros((2, 1)))
    assert len(batch) == 2


def test_labels_must_be_one_per_sample() -> None:
    with pytest.raises(DataError, match=r"query of an episode batch has shape \(2, 1, 4\) and its labels \(2,\)"):
        EpisodeBatch(np.zeros((2, 3, 4)), np.zeros((2, 3)), np.zeros((2, 1, 4)), np.zeros(2))


def test_both_halves_must_be_of_the_same_devices() -> None:
    with pytest.raises(DataError, match="2 support rows and 1 query rows"):
        EpisodeBatch(np.zeros((2, 3, 4)), np.zeros((2, 3)), np.zeros((1, 3, 4)), np.zeros((1, 3)))
