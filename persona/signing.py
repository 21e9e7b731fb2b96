"""The verbs `keys`, `sign` and `verify` of the command line: what a bundle's owner does with private keys.

The bundle's folder has a subfolder ``trust`` with the metadata; export newer bundles into the same folder, so that the
chain of roots and the versions go on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

keys = typer.Typer(no_args_is_help=True, help="Make keys, and say whose signatures count.")
sign = typer.Typer(no_args_is_help=True, help="Sign what devices fetch.")

Folder = Annotated[Path, typer.Argument(help="Folder that `persona export` wrote; its metadata lies in `trust/`.")]
Passphrase = Annotated[
    Path | None, typer.Option(help="File whose first line is the passphrase of the private keys. Default: none.")
]
FreshnessDays = Annotated[float, typer.Option(min=0.01, help="Days until devices take the server for frozen.")]
RootKeys = Annotated[list[Path] | None, typer.Option(help="Private root key; repeat for several.")]
Publics = Annotated[list[Path] | None, typer.Option(help="Public key (FILE.pub) of the role; repeat for several.")]
Threshold = Annotated[int, typer.Option(min=1, help="Signatures that it takes.")]
NewThreshold = Annotated[int | None, typer.Option(min=1, help="Signatures that it takes. Default: as before.")]
PASSPHRASE_LIMIT_BYTES = 1023  # of cryptography's encryption of key files
RootDays = Annotated[float, typer.Option(min=0.01, help="Days until the root expires.")]


@keys.command("new")
def new(
    file: Annotated[Path, typer.Argument(help="File for the private key, readable by its owner alone.")],
    passphrase_file: Passphrase = None,
) -> None:
    """Make a key pair: FILE with the private key, FILE.pub with the public one. Never overwrites a file."""
    from persona.trust.keys import SigningKey

    key = SigningKey.generate()
    key.write(file, read_passphrase(passphrase_file))
    typer.echo(f"private key: {file}\npublic key: {file}.pub\nkey id: {key.public.id}")


@keys.command("root")
def root(
    folder: Folder,
    root_key: RootKeys = None,
    release_key: Publics = None,
    freshness_key: Publics = None,
    root_threshold: Threshold = 1,
    release_threshold: Threshold = 1,
    days: RootDays = 365,
    passphrase_file: Passphrase = None,
) -> None:
    """Write the first root: whose signatures count. Ship `trust/1.root.json` with your app.

    Next: `persona sign bundle FOLDER`.
    """
    from persona.errors import TrustError
    from persona.trust.keys import PublicKey, SigningKey
    from persona.trust.publish import DAY_S, TRUST_FOLDER, add_root, root_file

    if not (root_key and release_key and freshness_key):
        raise TrustError("a root wants --root-key, --release-key and --freshness-key, one of each at least")
    phrase = read_passphrase(passphrase_file)
    signers = [SigningKey.read(path, phrase) for path in root_key]
    holders = {
        "root": ([key.public for key in signers], root_threshold),
        "release": ([PublicKey.read(path) for path in release_key], release_threshold),
        "freshness": ([PublicKey.read(path) for path in freshness_key], 1),
    }
    written = add_root(folder / TRUST_FOLDER, root_file(1, time.time() + days * DAY_S, holders, signers))
    typer.echo(f"root: {folder / TRUST_FOLDER / '1.root.json'}, until {written.signed.body['expires']}")


@keys.command("rotate")
def rotate(
    folder: Folder,
    sign_with: Annotated[list[Path], typer.Option(help="Private key of the root in force; a threshold of them.")],
    root_key: RootKeys = None,
    release_key: Publics = None,
    freshness_key: Publics = None,
    root_threshold: NewThreshold = None,
    release_threshold: NewThreshold = None,
    days: RootDays = 365,
    passphrase_file: Passphrase = None,
) -> None:
    """Write the next root of the chain, signed by the old keys and the new; roles not named keep their keys.

    Next: `persona sign bundle FOLDER`, where the release or freshness keys changed.
    """
    from persona.trust.keys import PublicKey, SigningKey
    from persona.trust.metadata import ROLES, Root
    from persona.trust.publish import DAY_S, TRUST_FOLDER, add_root, newest_root, root_file

    trust = folder / TRUST_FOLDER
    phrase = read_passphrase(passphrase_file)
    old = Root.read(newest_root(trust))
    signers = [SigningKey.read(path, phrase) for path in sign_with]
    added = [SigningKey.read(path, phrase) for path in root_key or ()]
    given = {
        "root": [key.public for key in added],
        "release": [PublicKey.read(path) for path in release_key or ()],
        "freshness": [PublicKey.read(path) for path in freshness_key or ()],
    }
    wanted = {"root": root_threshold, "release": release_threshold}
    holders = {}
    for role, files in ROLES.items():
        ids, threshold = old.roles[files[0]]
        members = given[role] or [old.keys[i] for i in sorted(ids)]
        holders[role] = (members, wanted.get(role) or threshold)
    distinct = {key.public.id: key for key in (*signers, *added)}
    version = old.signed.version + 1
    data = root_file(version, time.time() + days * DAY_S, holders, distinct.values())
    written = add_root(trust, data)
    typer.echo(f"root: {trust / f'{version}.root.json'}, until {written.signed.body['expires']}")


@sign.command("bundle")
def sign_bundle(
    folder: Folder,
    release_key: Annotated[list[Path], typer.Option(help="Private release key; repeat for several.")],
    freshness_key: Annotated[list[Path], typer.Option(help="Private freshness key.")],
    reply_key: Annotated[
        list[Path] | None, typer.Option(help="Public key (FILE.pub) that `persona serve` signs with; newest first.")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, help="Days until the release expires.")] = 90,
    freshness_days: FreshnessDays = 7,
    reply_days: Annotated[float, typer.Option(min=0.01, help="Days until the reply keys expire.")] = 30,
    passphrase_file: Passphrase = None,
) -> None:
    """Sign the bundle in a folder as the next release.

    Next: `persona serve FOLDER --reply-key FILE`, and `persona sign freshness FOLDER` every few days.
    """
    from persona.trust.keys import PublicKey, SigningKey
    from persona.trust.publish import DAY_S, Signers, Terms, sign_release

    phrase = read_passphrase(passphrase_file)
    release_keys, freshness_keys = (
        [SigningKey.read(path, phrase) for path in paths] for paths in (release_key, freshness_key)
    )
    signers = Signers(release_keys, freshness_keys, [PublicKey.read(path) for path in reply_key or ()])
    terms = Terms(days * DAY_S, freshness_days * DAY_S, reply_days * DAY_S)
    release = sign_release(folder, signers, time.time(), terms)
    typer.echo(f"release: {release.version}\nfingerprint: {release.fingerprint}")


@sign.command("freshness")
def sign_fresh(
    folder: Folder,
    freshness_key: Annotated[list[Path], typer.Option(help="Private freshness key.")],
    freshness_days: FreshnessDays = 7,
    passphrase_file: Passphrase = None,
) -> None:
    """Say anew that the release in a folder is the newest. A running `persona serve` offers it at once."""
    from persona.trust.keys import SigningKey
    from persona.trust.publish import DAY_S, Terms, sign_freshness

    phrase = read_passphrase(passphrase_file)
    signers = [SigningKey.read(path, phrase) for path in freshness_key]
    signed = sign_freshness(folder, signers, time.time(), Terms(freshness_s=freshness_days * DAY_S))
    typer.echo(f"freshness: {signed.version}, until {signed.body['expires']}")


def verify(
    folder: Folder,
    root_file: Annotated[Path, typer.Option("--root", help="Root metadata that you trust, as an app ships it.")],
) -> None:
    """Check a folder as a device would: from a trusted root to the bundle, by signature, version and expiry."""
    from persona.bundle import DEVICE_FILE, read_file
    from persona.trust import Trust
    from persona.trust.metadata import text_of
    from persona.trust.publish import TRUST_FOLDER, read_metadata

    def fetch(name: str, limit_bytes: int) -> bytes | None:
        path = folder / TRUST_FOLDER / name
        return read_metadata(path.parent, name, limit_bytes) if path.exists() else None

    trust = Trust.from_root(read_metadata(root_file.parent, root_file.name))
    state = trust.refresh(fetch)
    release = trust.release()
    bundle = trust.bundle(read_file(folder / DEVICE_FILE))
    typer.echo(f"bundle: {bundle.fingerprint}\nrelease: {release.version}, until {text_of(release.expires_s)}")
    typer.echo(f"root: {state.root.signed.version}, until {state.root.signed.body['expires']}")
    for key, expires_s in release.reply_keys:
        typer.echo(f"reply key: {key.id}, until {text_of(expires_s)}")


def read_passphrase(file: Path | None) -> bytes | None:
    """Return the first line of a file, None for none; TrustError where it cannot be read, is empty or too long."""
    from persona.errors import TrustError

    if file is None:
        return None
    try:
        first = file.read_bytes().split(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise TrustError(f"passphrase {file} cannot be read: {error.strerror}") from error
    if not first:
        raise TrustError(f"passphrase {file} starts with an empty line; write one, or leave the option out")
    if len(first) > PASSPHRASE_LIMIT_BYTES:
        raise TrustError(f"passphrase {file} is {len(first):,} bytes; the limit is {PASSPHRASE_LIMIT_BYTES:,}")
    return first
