"""What a device starts with: whom it trusts and its bundle, from a service, from a file, or as it was kept."""

from __future__ import annotations

import logging
from pathlib import Path

from persona.bundle import Bundle, read_bundle
from persona.device import Store, Trust, Unsigned, fetch_bundle, kept_trust
from persona.errors import CloudError, PersonaError, StateError
from persona.trust.publish import read_metadata

logger = logging.getLogger(__name__)


def trust_for(root: Path | None, store: Store | None) -> Trust | Unsigned:
    """Return the trust that begins with a root file, or goes on as a store has kept it; anybody's word without a root.

    TrustError where the file is no root, or another one than the store's.
    """
    if root is None:
        return Unsigned()
    data = read_metadata(root.parent, root.name)
    return Trust.from_root(data) if store is None else kept_trust(store, data)


def bundle_for(service: str | None, store: Store | None, trust: Trust | Unsigned | None) -> Bundle:
    """Return the bundle that a service offers, or, where it gives none that is believed, the one that was kept.

    Without a `trust` the service is a file, or None. CloudError, or what was wrong with the service, where there is no
    bundle. Under a `Trust`, a bundle that was kept counts only where signatures vouched for it: another may be
    anybody's.
    """
    if trust is None and service is not None:
        return read_bundle(Path(service))
    kept = None if store is None else _believed(store, trust)
    try:
        if service is None or trust is None:
            raise CloudError("there is no bundle: name a service, or a state folder that a device has kept one in")
        found = fetch_bundle(service, None if kept is None else kept.fingerprint, trust=trust)
    except PersonaError as error:
        if kept is None:
            raise
        if service is not None:
            logger.warning("%s; starting with the bundle that was kept", error)
        return kept
    bundle = kept if found is None else found
    if bundle is None:  # "nothing new" is said only to who names a bundle that it has
        raise CloudError(f"{service} offers no bundle")
    if store is not None and isinstance(trust, Trust) and not store.read_only:
        try:
            store.keep_bundle(bundle, vouched=True)
        except StateError as error:  # of the disk: the bundle in hand is none the worse
            logger.warning("%s", error)
    return bundle


def _believed(store: Store, trust: Trust | Unsigned | None) -> Bundle | None:
    return store.vouched_bundle() if isinstance(trust, Trust) else store.bundle()
