"""What a device trusts, kept in its store: versions that never go back, over restarts too."""

from __future__ import annotations

import time
from collections.abc import Callable

from persona.device.store import Store
from persona.errors import TrustError
from persona.trust import Trust, TrustedState


def kept_trust(store: Store, root: bytes, clock: Callable[[], float] = time.time) -> Trust:
    """Return the trust that a store holds, or, where it holds none yet, one that begins with the root of the app.

    Every new state is written before it counts: one that cannot be written does not count, which is a StateError of the
    request or the fetch that brought it. StateError where what was kept cannot be read now; TrustError where the root
    or what was kept is none, or where that began with another root.
    """
    shipped = TrustedState(root)
    data = store.trusted()
    state = shipped if data is None else TrustedState.from_bytes(data)
    ours, kept = shipped.root.signed, state.root.signed
    if ours.version == kept.version and ours.message != kept.message:
        raise TrustError(
            f"the state folder trusts another root of version {kept.version} than the one that was given; name the "
            "folder or the root that belongs with the other"
        )
    return Trust(state, clock, lambda new: store.keep_trusted(new.to_bytes()))
