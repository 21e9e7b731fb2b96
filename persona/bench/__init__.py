"""Measurements, side by side in one run: a ratio says more than a time."""
