"""What a device trusts while it runs: one state that is replaced whole, or, by an explicit switch, anybody."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from persona.bundle import Bundle
from persona.errors import TrustError
from persona.trust.keys import PublicKey
from persona.trust.release import Release
from persona.trust.state import TrustedState
from persona.trust.update import Fetch, follow_release, follow_roots

logger = logging.getLogger(__name__)


class Unsigned:
    """The switch that turns signatures off: a bundle or a reply from anybody counts. Every start of it says so."""

    def __init__(self) -> None:
        logger.warning(
            "signatures are off: whoever answers in the service's place decides what this device runs; "
            "give a trusted root to turn them on"
        )


class Trust:
    """Checks what a service offers against a trusted state. Many threads may call every method.

    `clock` gives seconds since 1970; `keep` is handed every new state before it counts, so that no power cut loses it.
    """

    def __init__(
        self,
        state: TrustedState,
        clock: Callable[[], float] = time.time,
        keep: Callable[[TrustedState], None] | None = None,
    ) -> None:
        self._state = state
        self._clock = clock
        self._keep = keep
        self._lock = threading.Lock()  # of replacing the state

    @classmethod
    def from_root(cls, root: bytes, clock: Callable[[], float] = time.time) -> Trust:
        """Begin with the root metadata that an app ships; TrustError where it is none."""
        return cls(TrustedState(root), clock)

    @property
    def state(self) -> TrustedState:
        """The state in force."""
        return self._state

    def refresh(self, fetch: Fetch) -> TrustedState:
        """Take over what a server offers, and return it; TrustError where it does not hold.

        The release in force stays then. A new root holds at once, by itself: what its predecessor's keys signed must
        not count again because a timestamp had just expired.
        """
        with self._lock:
            for state in follow_roots(self._state, fetch):
                self._take(state)
            self._take(follow_release(self._state, fetch, self._clock()))
            return self._state

    def _take(self, new: TrustedState) -> None:
        """Replace the state, kept before it counts. The lock is held."""
        if self._keep is not None and new != self._state:
            self._keep(new)
        self._state = new

    def release(self) -> Release:
        """Return the release in force; TrustError where there is none yet, or it has expired."""
        found = self._state.release
        if found is None:
            raise TrustError("no release is trusted yet; fetch the bundle from a service that offers signed ones")
        if found.expires_s <= self._now():
            raise TrustError(f"release {found.version} has expired; fetch the bundle anew")
        return found

    def bundle(self, data: bytes) -> Bundle:
        """Return the release's bundle from its bytes; TrustError where they are anything else."""
        return self.release().bundle(data)

    def reply_keys(self, fingerprint: str) -> tuple[PublicKey, ...]:
        """Return the keys that may sign replies for a bundle now; none for another bundle than the release's."""
        found = self._state.release
        return () if found is None or found.fingerprint != fingerprint else found.keys_at(self._now())

    def _now(self) -> float:
        return max(self._clock(), self._state.seen_s)
