"""Policies without a memory: every so many samples, after a jump, or the three reasons together."""

from __future__ import annotations

from dataclasses import dataclass

from persona.device.policies.base import Observation


@dataclass(frozen=True)
class EveryN:
    """Ask once every `samples` samples."""

    samples: int

    def should_ask(self, seen: Observation) -> bool:
        """Return whether that many samples have come since the last answer."""
        return seen.since_answer >= self.samples


@dataclass(frozen=True)
class OnJump:
    """Ask when the data has left its domain, and at the start."""

    def should_ask(self, seen: Observation) -> bool:
        """Return whether it has."""
        return seen.jumped


@dataclass(frozen=True)
class Standard:
    """Ask after a jump, every `every` samples, and when the edit in force has expired."""

    every: int = 256

    def should_ask(self, seen: Observation) -> bool:
        """Return whether one of the three is the case."""
        return seen.jumped or seen.expired or seen.since_answer >= self.every
