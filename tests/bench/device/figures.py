"""Figures of a device that stand at the limits of their targets, and so meet every one."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

FIGURES: dict[str, Any] = {
    "commit": "0123456789abcdef",
    "machine": {"system": "Linux"},
    "versions": {"numpy": "2"},
    "load": 0.1,
    "repetitions": 2000,
    "bundle": {"fingerprint": "ab" * 32, "trained": True},
    "footprint": {
        "import_s": 0.2,
        "peak_mb": {"baked": 70.0, "edited": 71.0, "device": 75.0, "device with cloud": 78.0},
        "edited_of_baked": 71 / 70,
    },
    "inference": {
        "1": {"baked_us": 100.0, "editable_us": 101.0, "ratio": 1.01},
        "32": {"baked_us": 900.0, "editable_us": 936.0, "ratio": 1.04},
    },
    "apply": {
        "verify_and_read_us": 138.0, "read_unsigned_us": 8.0, "decode_us": 50.0, "check_us": 60.0, "swap_us": 1.0,
        "in_all_us": 250.0, "in_all_beside_tent_us": 250.0, "tent_us": 5000.0, "trial_us": 900.0, "of_tent": 0.05,
        "session_rebuild_us": 4000.0,
    },
    "codecs": {
        "down_bytes": {"float32": 80, "float16": 64, "int8": 36, "prototype": 16},
        "down_signed_bytes": {"float32": 144, "float16": 128, "int8": 100, "prototype": 16},
        "up_bytes": 1092,
        "up_signed_bytes": 1100,
        "whole_edits": {"int8": {"bytes": 5353, "loss": 0.004}},
        "part_bytes": {"model": 1000, "decoder": 1500, "bank": 500, "bundle": 3000},
        "logit_error": {"float32": 0.0, "float16": 0.0003, "int8": 0.02, "prototype": 0.5},
        "accuracy": {"base": 60.0, "float32": 70.0, "float16": 69.9, "int8": 69.0, "prototype": 68.0},
    },
}  # fmt: skip


def stored(tmp_path: Path, **changes: Any) -> Path:
    """Return a file of figures that meet every target, but for changes by dotted path."""
    figures = deepcopy(FIGURES)
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        place = figures
        for name in path:
            place = place[name]
        place[last] = value
    path_of = tmp_path / "device.json"
    path_of.write_text(json.dumps(figures))
    return path_of
