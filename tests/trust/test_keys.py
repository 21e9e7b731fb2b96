"""Keys: named as securesystemslib names them, kept where their owner alone reads, never overwritten."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from securesystemslib.signer import CryptoSigner, SSlibKey

from persona.errors import ExportError, TrustError
from persona.trust import PublicKey, SigningKey
from tests.signed import key


def test_a_key_has_the_id_that_securesystemslib_gives_it(tmp_path: Path) -> None:
    ours = SigningKey.generate()
    ours.write(tmp_path / "k")
    private = serialization.load_pem_private_key((tmp_path / "k").read_bytes(), None)
    theirs = CryptoSigner(private)  # type: ignore[arg-type]
    assert theirs.public_key.keyid == ours.public.id
    assert theirs.public_key.to_dict() == ours.public.to_json()
    assert isinstance(theirs.public_key, SSlibKey)
    assert ours.public.signed(bytes.fromhex(theirs.sign(b"m").signature), b"m")


def test_a_signature_holds_for_its_message_and_its_key() -> None:
    signature = key("a").sign(b"message")
    assert key("a").public.signed(signature, b"message")
    assert not key("a").public.signed(signature, b"massage")
    assert not key("b").public.signed(signature, b"message")
    for bad in (b"", signature[:-1], signature + b"\0", bytes(64)):
        assert not key("a").public.signed(bad, b"message")


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_key_is_read_back_and_no_stranger_can(tmp_path: Path, passphrase: bytes | None) -> None:
    path = tmp_path / "folder" / "k"
    made = SigningKey.generate()
    made.write(path, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.read(path, passphrase).public == made.public
    assert PublicKey.read(path.with_name("k.pub")) == made.public
    assert (b"ENCRYPTED" in path.read_bytes()) == (passphrase is not None)
    for wrong in (b"open barley", None if passphrase else b"needless"):
        with pytest.raises(TrustError, match="cannot be read as a private key"):
            SigningKey.read(path, wrong)
    assert {p.name for p in path.parent.iterdir()} == {"k", "k.pub"}


def test_a_private_key_is_never_overwritten(tmp_path: Path) -> None:
    key("a").write(tmp_path / "k")
    with pytest.raises(ExportError, match="cannot be written: File exists"):
        key("b").write(tmp_path / "k")
    assert SigningKey.read(tmp_path / "k").public == key("a").public
    assert {p.name for p in tmp_path.iterdir()} == {"k", "k.pub"}


def test_half_a_pair_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "k.pub").write_text("somebody's")
    with pytest.raises(ExportError, match="File exists"):
        key("a").write(tmp_path / "k")
    assert {p.name for p in tmp_path.iterdir()} == {"k.pub"}
    assert (tmp_path / "k.pub").read_text() == "somebody's"


def test_files_that_are_no_keys_are_refused(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "ec").write_bytes(pem)
    with pytest.raises(TrustError, match="of another kind; wanted Ed25519"):
        SigningKey.read(tmp_path / "ec")
    (tmp_path / "ec.pub").write_bytes(
        other.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(TrustError, match="of another kind; wanted Ed25519"):
        PublicKey.read(tmp_path / "ec.pub")
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    for read in (SigningKey.read, PublicKey.read):
        for name in ("noise", "absent", "."):
            with pytest.raises(TrustError):
                read(tmp_path / name)
