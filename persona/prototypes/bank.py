"""Codes of training devices → a bank: centres to send by number, and the map to pick one without the cloud."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from persona.bank import Bank
from persona.prototypes.cluster import fit_centres
from persona.prototypes.local_map import fit_map


def make_bank(
    codes: npt.ArrayLike, features: npt.ArrayLike, k: int, rng: np.random.Generator, version: int = 1
) -> Bank:
    """Return the bank of at most `k` prototypes of codes (N, n, d), row by row of the windows with features (N, F).

    Prototype 0 is the one that most of the codes are nearest to. DataError where the arrays do not fit each other, are
    empty or not finite.
    """
    weight, bias = fit_map(features, codes)
    clusters = fit_centres(codes, k, rng)
    return Bank(clusters.centres, clusters.counts, weight, bias, version)
