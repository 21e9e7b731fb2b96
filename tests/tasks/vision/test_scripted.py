"""Streams written down beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision import Domain, StreamShape
from persona.tasks.vision.scripted import Scene, ScriptedStream, check_enough
from tests.tasks.vision.pictures import numbered, numbers_of


def test_windows_show_what_the_script_says() -> None:
    scenes = (Scene(Domain(), 0, first=True), Scene(Domain(), 3))
    stream = ScriptedStream(numbered(2), np.array([[4, 1], [0, 19]]), scenes)
    windows = list(stream)
    assert len(stream) == 2
    assert [numbers_of(window.x).tolist() for window in windows] == [[4, 1], [0, 19]]
    assert [window.y.tolist() for window in windows] == [[4, 1], [0, 9]]
    assert [(window.segment, window.first) for window in windows] == [(0, True), (3, False)]


@pytest.mark.parametrize(("rows", "scenes"), [(0, ()), (1, (Scene(Domain()),) * 2)])
def test_a_script_that_does_not_fit_is_refused(rows: int, scenes: tuple[Scene, ...]) -> None:
    with pytest.raises(DataError, match=f"stream has {len(scenes)} scenes"):
        ScriptedStream(numbered(1), np.zeros((rows, 2), np.intp), scenes)


@pytest.mark.parametrize(("window", "devices"), [(11, 1), (4, 0)])
def test_too_few_images_or_devices_are_refused(window: int, devices: int) -> None:
    with pytest.raises(DataError, match=f"10 images for {devices} devices with windows of {window}"):
        check_enough(numbered(1), StreamShape(window_size=window), devices)
