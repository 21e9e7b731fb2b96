"""Small files of packed photographs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def arrays_of(side: int, n: int, classes: int = 2, domains: tuple[str, ...] = ()) -> dict[str, Any]:
    """Picture i is grey level 3 i all over; classes take turns, domains come one after another, each as long."""
    files = []
    for number in range(n):
        file = io.BytesIO()
        Image.new("RGB", (side, side), (3 * number % 256,) * 3).save(file, "JPEG", quality=100)
        files.append(file.getvalue())
    arrays: dict[str, Any] = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offset": np.cumsum([0, *map(len, files)]),
        "label": (np.arange(n) % classes).astype(np.uint8),
        "class_names": np.array([f"class {number}" for number in range(classes)]),
    }
    if domains:
        arrays["domain"] = (np.arange(n) * len(domains) // n).astype(np.uint8)
        arrays["domain_names"] = np.array(domains)
    return arrays


def pack(file: Path, arrays: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return file
