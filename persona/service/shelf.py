"""One exported folder as it is served: both halves of a bundle, checked against each other and against its release."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from persona.bundle import DEVICE_FILE, Bundle, read_cloud_half, read_file
from persona.encoder import Encoder
from persona.errors import BundleError, TrustError
from persona.item_vectors import ITEMS_FILE, read_items
from persona.trust import SigningKey
from persona.trust.publish import published


class Shelved(NamedTuple):
    """A bundle, its file as devices fetch it, its encoder, and where its item vectors lie if it ranks."""

    bundle: Bundle
    file: bytes
    encoder: Encoder
    items: Path


def shelve(folder: Path, key: SigningKey | None) -> Shelved:
    """Read both halves in a folder and try the encoder; BundleError where they are damaged or no pair.

    TrustError where no device would take replies that `key` signs.
    """
    file = read_file(folder / DEVICE_FILE)
    bundle = Bundle.from_bytes(file)
    if key is not None:
        _check_named(key, folder, bundle.fingerprint)
    cloud = read_cloud_half(folder)
    if cloud.bundle_fingerprint != bundle.fingerprint:
        raise BundleError(
            f"the halves in {folder} are no pair: the cloud's is for {cloud.bundle_fingerprint[:12]}, "
            f"the device's is {bundle.fingerprint[:12]}; export both again"
        )
    items = folder / ITEMS_FILE
    if bundle.ranking is not None:
        read_items(items, bundle.ranking.fingerprint)
    return Shelved(bundle, file, Encoder(cloud, bundle), items)


def _check_named(key: SigningKey, folder: Path, fingerprint: str) -> None:
    release = published(folder)
    if release.fingerprint != fingerprint:
        raise TrustError(
            f"release {release.version} in {folder} is of bundle {release.fingerprint[:12]}, beside it lies "
            f"{fingerprint[:12]}; sign it with `persona sign bundle`"
        )
    if key.public not in [named for named, _ in release.reply_keys]:
        raise TrustError(
            f"release {release.version} in {folder} does not name reply key {key.public.id[:12]}, so no device would "
            "believe its signatures; name it with `persona sign bundle --reply-key`"
        )
