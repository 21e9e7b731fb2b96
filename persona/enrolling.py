"""The verb `devices` of the command line: who may ask a service that answers enrolled devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from persona.service.state import Devices

devices = typer.Typer(
    no_args_is_help=True,
    help="""Say which devices may ask: those of `persona serve BUNDLE --database URL --require-devices`.

    `persona devices token` prints a token, an app calls `enrol(url, token, identity)` with it, once a device.""",
)

Url = Annotated[
    str, typer.Option("--database", envvar="PERSONA_DATABASE", help="As given to serve: sqlite:///FILE, postgresql://…")
]
Who = Annotated[str, typer.Option("--as", help="Who does this: the audit trail keeps the name.")]


@devices.command("token")
def token(
    database: Url,
    group: Annotated[str, typer.Option(help="Group that the device will belong to.")] = "default",
    hours: Annotated[float, typer.Option(min=0.01, help="Hours until the token expires.")] = 24,
    who: Who = "operator",
) -> None:
    """Print a token that enrols one device. It is shown this once; the database keeps its hash alone.

    Next: on the device, `enrol(url, token, Identity(key))` of `persona.device`.
    """
    with _devices_of(database) as kept:
        typer.echo(kept.new_token(group, hours * 3600, who))


@devices.command("list")
def list_(
    database: Url, limit: Annotated[int, typer.Option(min=1, help="Devices to show, the newest first.")] = 100
) -> None:
    """Show enrolled devices: id, group, whether revoked, and when last answered, in seconds since 1970."""
    with _devices_of(database) as kept:
        for one in kept.listed(limit):
            state = "enrolled" if one.revoked_s is None else "revoked"
            seen = "never" if one.seen_s is None else f"{one.seen_s:.0f}"
            typer.echo(f"{one.public.id} {one.group} {state} last answered: {seen}")


@devices.command("revoke")
def revoke(
    device: Annotated[str, typer.Argument(help="The device's id, as `persona devices list` shows it.")],
    database: Url,
    who: Who = "operator",
) -> None:
    """Refuse a device from now on, by every service on this database. Its key cannot be enrolled again."""
    with _devices_of(database) as kept:
        kept.revoke(device, who)
    typer.echo(f"revoked: {device}")


@contextmanager
def _devices_of(url: str) -> Iterator[Devices]:
    from persona.service.state import Database, Devices

    database = Database(url)
    try:
        yield Devices(database)
    finally:
        database.close()
