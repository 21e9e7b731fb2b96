"""Ed25519 keys: a public one is named by the sha256 of its description, a private one lies in a file of its owner's."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from persona.errors import ExportError, TrustError
from persona.trust.canonical import canonical

SIGNATURE_BYTES = 64
_FILE_LIMIT_BYTES = 1 << 16


@dataclass(frozen=True)
class PublicKey:
    """A public key; `value` its 32 bytes."""

    value: bytes

    @cached_property
    def id(self) -> str:
        """Its name: the sha256 of its description, in hex."""
        return hashlib.sha256(canonical(self.to_json())).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return its description, as TUF has it."""
        return {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": self.value.hex()}}

    @classmethod
    def from_json(cls, value: Any) -> PublicKey:
        """Read a description; TrustError where it is of another kind, or written in another way.

        One key must have one name: the same bytes in capitals would count twice towards a threshold.
        """
        text = value["keyval"].get("public") if isinstance(value, dict) and isinstance(value.get("keyval"), dict) else 0
        if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
            raise TrustError("a key has no 'public' of 64 lower-case hexadecimal digits; only Ed25519 keys are read")
        key = cls(bytes.fromhex(text))
        if value != key.to_json():
            raise TrustError(f"key {text[:12]} is described with more or other facts than an Ed25519 key has")
        return key

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Return whether this key made a signature of a message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.value)

    @classmethod
    def read(cls, path: Path) -> PublicKey:
        """Read what `SigningKey.write` wrote beside the private key; TrustError where it is something else."""
        from cryptography.hazmat.primitives import serialization  # key files alone: a device needs none

        try:
            key = serialization.load_pem_public_key(_content(path))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise TrustError(f"{path} is not a public key ({error}); `persona keys new` writes FILE.pub") from error
        if not isinstance(key, Ed25519PublicKey):
            raise TrustError(f"{path} is a public key of another kind; wanted Ed25519")
        return cls(key.public_bytes_raw())


class SigningKey:
    """A private key. It shows itself nowhere but in its own file."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> SigningKey:
        """Return a new key, by the system's dice."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """Return the key of 32 bytes that are secret; ValueError for another length."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message, 64 bytes."""
        return self._key.sign(message)

    def write(self, path: Path, passphrase: bytes | None = None) -> None:
        """Write the private key to a new file that its owner alone may read, and the public one to `path`.pub.

        ExportError where a file stands there already: a private key is never overwritten.
        """
        from cryptography.hazmat.primitives import serialization  # key files alone: a device needs none

        kind = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        private = self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind)
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        _write_new(path, private, 0o600)
        try:
            _write_new(path.with_name(path.name + ".pub"), public, 0o644)
        except ExportError:
            path.unlink()  # written just now: half a pair helps nobody, and would block a second try
            raise

    @classmethod
    def read(cls, path: Path, passphrase: bytes | None = None) -> SigningKey:
        """Read a private key; TrustError where it is none, or the passphrase is missing, wrong, or not needed."""
        from cryptography.hazmat.primitives import serialization  # key files alone: a device needs none

        try:
            key = serialization.load_pem_private_key(_content(path), passphrase)
        except (TypeError, ValueError, UnsupportedAlgorithm) as error:  # TypeError: a passphrase is missing or too much
            raise TrustError(f"{path} cannot be read as a private key ({error}); see `persona keys new`") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise TrustError(f"{path} is a private key of another kind; wanted Ed25519")
        return cls(key)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT_BYTES)
    except OSError as error:
        raise TrustError(f"key {path} cannot be read: {error.strerror}; `persona keys new` writes one") from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable by its owner alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            Path(temporary).chmod(mode)
            os.link(temporary, path)  # unlike a rename, never over another file
        finally:
            Path(temporary).unlink()
    except OSError as error:
        raise ExportError(f"key {path} cannot be written: {error.strerror}; choose another name") from error
