"""What the service takes at most: sizes, numbers and times, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from persona.wire import REQUEST_LIMIT_BYTES


@dataclass(frozen=True)
class Limits:
    """The defaults are what runs; tests make them small to reach them.

    A body: `body_bytes` long, received within `body_s`; all bodies in work together: `held_bytes`. The queue:
    `waiting` requests, each for `wait_s`; `batch` of them a run.
    """

    body_bytes: int = REQUEST_LIMIT_BYTES
    body_s: float = 10.0
    held_bytes: int = 16 * REQUEST_LIMIT_BYTES
    batch: int = 64
    waiting: int = 512
    wait_s: float = 10.0


DEFAULT_LIMITS = Limits()
