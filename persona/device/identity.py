"""Who a device is to a service that answers enrolled ones: a key of its own, which signs each request."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from persona.trust import SigningKey, asking_headers
from persona.trust.asking import ASKING_NONCE_BYTES


@dataclass(frozen=True)
class Identity:
    """A device's private key, which never leaves it.

    `clock` tells the time of day in seconds since 1970, which services compare with theirs; `dice` give nonces.
    """

    key: SigningKey
    clock: Callable[[], float] = time.time
    dice: Callable[[int], bytes] = os.urandom

    def headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """Return the headers that sign one request; every call signs another."""
        return asking_headers(self.key, (method, path, body), self.clock(), self.dice(ASKING_NONCE_BYTES))
