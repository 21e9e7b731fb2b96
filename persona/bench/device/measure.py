"""Everything that `persona bench device` measures, in one run; and reading it again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from persona.bench.device.applying import applying
from persona.bench.device.bundles import untrained_bundle
from persona.bench.device.codecs import codecs
from persona.bench.device.footprint import footprint
from persona.bench.device.inference import inference
from persona.bench.device.timing import Clock
from persona.bench.store import circumstances
from persona.bundle import read_bundle
from persona.errors import DataError

REPETITIONS, QUICK_REPETITIONS = 2000, 200


def measure(
    folder: Path | None = None,
    *,
    quick: bool = False,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Return the figures of a bundle in a folder, or of an untrained one, with commit, machine, versions and load.

    `quick` measures less.
    """
    bundle = untrained_bundle() if folder is None else read_bundle(folder)
    repetitions = QUICK_REPETITIONS if quick else REPETITIONS
    about = circumstances()
    load = os.getloadavg()[0]  # before the measuring itself adds to it
    return {
        **about,
        "versions": {**about["versions"], "onnxruntime": onnxruntime.__version__},
        "load": round(load, 2),
        "repetitions": repetitions,
        "bundle": {"fingerprint": bundle.fingerprint, "trained": folder is not None},
        "footprint": footprint(bundle, runs=2 if quick else 9),
        "inference": inference(bundle, repetitions, clock),
        "apply": applying(bundle, repetitions, clock),
        "codecs": codecs(bundle, folder, devices=1 if quick else 16),
    }


def read_figures(path: Path) -> Mapping[str, Any] | None:
    """Return figures that were stored; None where there are none, DataError where the file is damaged."""
    if not path.exists():
        return None
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        missing = {"footprint", "inference", "apply", "codecs"} - figures.keys()
    except (ValueError, AttributeError) as error:
        raise DataError(f"results {path} are damaged ({error!r}); delete the file, and measure again") from error
    if missing:
        raise DataError(f"results {path} lack {min(missing)!r}; delete the file, and measure again")
    return dict(figures)
