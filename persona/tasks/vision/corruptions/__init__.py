"""Fifteen corruptions of ImageNet-C's kind by formulas of our own, in five severities, and streams of them.

Source of the kinds: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, section 4.1. Strengths are chosen for pictures of 28 to 32 pixels a side; lengths grow with
the side. They are not the published files: compare figures only with those of the same code.
"""

from persona.tasks.vision.corruptions.catalog import CORRUPTIONS, corrupt
from persona.tasks.vision.corruptions.corruption import SEVERITIES, Corruption
from persona.tasks.vision.corruptions.streams import CORRUPTION_SETTINGS, corruption_streams

__all__ = ["CORRUPTIONS", "CORRUPTION_SETTINGS", "SEVERITIES", "Corruption", "corrupt", "corruption_streams"]
