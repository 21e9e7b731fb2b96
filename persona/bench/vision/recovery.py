"""What happens around a shift: accuracy by window since it, and how soon it is as good as it will get."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from persona.bench.vision.summary import Cell, Floats, mean_of

NEAR_POINTS = 2.0


def since_shift(cell: Cell, before: int = 0) -> Floats:
    """Return mean accuracy (before + L,) by window around a shift, L the length of the shortest segment after one.

    Empty where no segment follows another. NaN before the start of a stream.
    """
    segments = [segment for device in range(len(cell.devices)) for segment in _segments(cell, device)]
    if not segments:
        return np.empty(0)
    length = min(end - start for _, start, end in segments)
    pieces = np.full((len(segments), before + length), np.nan)
    for row, (device, start, _) in enumerate(segments):
        held = min(before, start)
        piece = cell.accuracy[:, device, start - held : start + length]
        pieces[row, before - held :] = mean_of(piece, 0)
    return mean_of(pieces, 0)


def windows_to_recover(cell: Cell) -> float:
    """Return how many windows after a shift pass until the mean is within 2 points of the segment's later half.

    0 where the first window is already. NaN where segments are of one window, or none follows another.
    """
    profile = since_shift(cell)
    if len(profile) < 2:
        return float("nan")
    later = float(np.mean(profile[len(profile) // 2 :]))
    return float(np.argmax(profile >= later - NEAR_POINTS))


def _segments(cell: Cell, device: int) -> list[tuple[int, int, int]]:
    """Return (device, first window, window past the end) of each segment that follows another."""
    length = int(np.isfinite(cell.accuracy[:, device]).any(axis=0).sum())
    starts = [int(at) for at in np.flatnonzero(cell.first[device])]
    return [(device, start, end) for start, end in pairwise([*starts, length])]
