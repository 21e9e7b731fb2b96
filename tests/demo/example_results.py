"""Results of a demo that never ran, in the shape that the report takes: plausible numbers, drawn from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = ("static", "base", "mean_edit", "adapted", "adapted_causal")
LEVELS = dict(zip(ROWS, (60.1, 58.0, 55.0, 69.0, 68.0), strict=True))
SEGMENT, SEGMENTS, DEVICES = 5, 4, 12
DOMAINS = ("fog 0.42", "scale 0.67 + gaussian_blur 0.58", "contrast 0.77", "impulse_noise 0.86", "rotation 0.30")


def example_results() -> dict[str, Any]:
    """Return results in which the adapted rows are above static, but for two devices."""
    rng = np.random.default_rng(0)
    return {
        **_accuracies(rng),
        "devices": [_device(number, rng) for number in range(DEVICES)],
        "prototypes": {"0": 12, "5": 62, "3": 40, "7": 33, "11": 25, "12": 9, "2": 31, "9": 28},
        "bank_size": 16,
        "bytes_up": 712.0,
        "bytes_down": 48.0,
        "sample_bytes": 25088,
        "apply_us": {"p50": 90.0, "p99": 200.0, "parts": {"decode": 50.0, "check": 20.0, "swap": 20.0}},
        "latency_ms": {"p50": 3.0, "p99": 9.0},
        "requests": 320,
        "failed_requests": 0,
        "bundle": {
            "fingerprint": "ab12" * 16,
            "device_bytes": 250000,
            "cloud_bytes": 320000,
            "editable": 922,
            "parameters": 39538,
        },
        "training": _training(rng),
        "validation": {
            "static": 61.0,
            "base": 59.2,
            "mean_edit": 56.1,
            "shuffled_edit": 41.5,
            "adapted": 69.9,
            "adapted_causal": 69.4,
        },
        "seconds": {"train": 170.0, "export": 8.0, "stream": 20.0, "total": 200.0},
        "outage": None,
        "versions": {"persona-edge": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "onnxruntime": "1.31.1"},
        "seeds": {"train": 0, "stream": 0},
        "machine": {"cores": 2, "processor": "a processor"},
    }


def _accuracies(rng: np.random.Generator) -> dict[str, Any]:
    windows = SEGMENT * SEGMENTS
    dip = {"adapted": -1.0, "adapted_causal": -6.0}
    after = {
        row: [level + (dip.get(row, 0.0) if at == 0 else 0.0) + 0.3 * at for at in range(SEGMENT)]
        for row, level in LEVELS.items()
    }
    hard = np.repeat(rng.normal(0, 3, SEGMENTS), SEGMENT)
    timeline: dict[str, Any] = {
        row: [float(after[row][at % SEGMENT] + hard[at] + rng.normal(0, 1)) for at in range(windows)] for row in ROWS
    }
    return {
        "accuracy": dict(LEVELS),
        "intervals": {"adapted_minus_static": [7.2, 10.7], "adapted_causal_minus_static": [6.1, 9.4]},
        "clean": {"static": 85.0, "base": 84.1, "mean_edit": 80.0, "adapted": 84.9, "adapted_causal": 85.3},
        "clean_harm": 0.1,
        "first_window": {row: values[0] for row, values in after.items()},
        "after_shift": after,
        "timeline": {"window": list(range(windows)), "shifts": [5, 10, 15], **timeline},
    }


def _device(number: int, rng: np.random.Generator) -> dict[str, Any]:
    accuracy = {row: level + float(rng.normal(0, 2)) for row, level in LEVELS.items()}
    accuracy["adapted_causal"] = accuracy["static"] + 7.9 + float(rng.normal(0, 3))
    if number in {3, 8}:
        accuracy["adapted_causal"] = accuracy["static"] - 0.3 * number
    return {
        "device": number,
        "domains": [DOMAINS[(number + at) % len(DOMAINS)] for at in (0, 1, 0, 2)],
        "accuracy": accuracy,
        "jumps": 3 + number % 2,
        "asks": 12 + number % 5,
        "refused": 0,
        "prototypes": {"3": 5, "5": 15},
        "rss_mb": 71.2 + number / 10,
        "torch_imported": False,
    }


def _training(rng: np.random.Generator) -> dict[str, Any]:
    def losses(start: float, end: float) -> list[float]:
        return [float(end + (start - end) * np.exp(-at / 40) + rng.normal(0, 0.06)) for at in range(200)]

    return {
        "steps": {"base": 600, "adapter": 900, "static": 1500},
        "losses": {"static": losses(2.3, 1.02), "adapter": losses(1.6, 0.81)},
        "code_shares": [0.5, 0.2, 0.1, 0.1, 0.05, 0.05],
    }
