"""What the service takes at most: sizes, numbers and times, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from persona.wire import REQUEST_LIMIT_BYTES


@dataclass(frozen=True)
class Limits:
    """The defaults are what runs; tests make them small to reach them.

    A body: `body_bytes` long, received within `body_s`; all bodies in work together: `held_bytes`. The queue:
    `waiting` requests, each for `wait_s`; `batch` of them a run. A connection: headers of `header_bytes` within
    `header_s`, a response taken within `response_s`, and `connections` of them. A peer: `rate_per_s` requests in the
    long run, 0 for no limit, `burst` at once; `peers` of them are remembered.
    """

    body_bytes: int = REQUEST_LIMIT_BYTES
    body_s: float = 10.0
    held_bytes: int = 16 * REQUEST_LIMIT_BYTES
    batch: int = 64
    waiting: int = 512
    wait_s: float = 10.0
    header_bytes: int = 32 << 10
    header_s: float = 10.0
    response_s: float = 120.0
    connections: int = 4096
    rate_per_s: float = 50.0
    burst: int = 200
    peers: int = 65536


DEFAULT_LIMITS = Limits()
