"""The devices behind requests: who signed, whether it may ask, and what it was given, on disk before it is told.

Lookups and commits each have a thread and share runs as encodings do: requests that arrive together are one query.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from fastapi import Request, Response

from persona.bundle import Bundle
from persona.errors import EnrolmentRefused, MessageTooLarge, ServiceError, TrustError, Unauthenticated, WireError
from persona.service.batching import Batcher
from persona.service.limits import DEFAULT_LIMITS, Limits
from persona.service.state import Assignment, Database, Device, Devices, Recording
from persona.strict_json import parse_object
from persona.trust import Asking, PublicKey
from persona.wire import AdaptReply

_ENROLMENT_LIMIT_BYTES = 4096
# Where a reply names its bundle, as docs/wire.md has it.
_FINGERPRINT = slice(4, 10)

log = logging.getLogger("persona.service")


class Fleet:
    """Authenticates requests and records what they were answered."""

    def __init__(self, database: Database, limits: Limits = DEFAULT_LIMITS, *, required: bool) -> None:
        """`required`: requests that no device signed are refused. The database is closed with the fleet."""
        self._database = database
        self._devices = Devices(database)
        self._required = required
        self._finding: Batcher[str, Device | None] = Batcher(self._found, limits)
        self._enrolling: Batcher[tuple[str, PublicKey], Device | EnrolmentRefused] = Batcher(self._enrolled, limits)
        self._recording: Batcher[Assignment, Exception | None] = Batcher(Recording(database).commit, limits)

    async def authenticated(self, request: Request, body: bytes) -> Asking | None:
        """Return who signed a request; None for an unsigned one where that may be.

        Unauthenticated where nobody did who may ask now.
        """
        asking = Asking.of(request.headers, request.method, request.scope["path"], body)
        if asking is None:
            if self._required:
                raise Unauthenticated("this service answers enrolled devices alone, and the request is not signed")
            return None
        device = await self._finding.submit(asking.device)
        if device is None or device.revoked_s is not None:
            raise Unauthenticated(f"device {asking.device[:12]} is not enrolled here, or was revoked")
        asking.check(device.public, self._database.clock())
        return asking

    async def record(self, asking: Asking, reply: bytes, bundles: Sequence[Bundle]) -> None:
        """Return once an encoded reply to a request, for one of the bundles that are served, is on disk.

        Unauthenticated where the request came before, Overloaded where the database does not take it now.
        """
        named = reply[_FINGERPRINT].hex()
        bundle = next(one for one in bundles if one.fingerprint.startswith(named))
        said = AdaptReply.decode(reply, bundle.decoder.code_shape)
        code = bundle.bank.compose(said.prototype, said.residual)
        outcome = await self._recording.submit(
            Assignment(asking.device, asking.nonce, bundle.fingerprint, said.bank_version, said.prototype, code)
        )
        if outcome is not None:
            raise outcome

    async def enrol(self, request: Request, body: bytes) -> Response:
        """Answer ``POST /v1/devices``, signed by the very key that is to be enrolled.

        WireError where the body has another form; Unauthenticated, EnrolmentRefused where it is not taken.
        """
        token, key = _enrolment(body)
        asking = Asking.of(request.headers, request.method, request.scope["path"], body)
        if asking is None:
            raise Unauthenticated(
                "an enrolment is signed by the key that is to be enrolled, and this one is not signed"
            )
        asking.check(key, self._database.clock())
        device = await self._enrolling.submit((token, key))
        if isinstance(device, EnrolmentRefused):
            raise device
        log.info("device %s is enrolled in group %s", key.id[:12], device.group)
        return Response(json.dumps({"device": key.id, "group": device.group}), media_type="application/json")

    async def close(self) -> None:
        """Finish what is under way and close the database."""
        for batcher in (self._finding, self._enrolling, self._recording):
            await batcher.close()
        self._database.close()

    def _found(self, ids: Sequence[str]) -> list[Device | None]:
        found = self._devices.find(sorted(set(ids)))
        return [found.get(one) for one in ids]

    def _enrolled(self, asked: Sequence[tuple[str, PublicKey]]) -> list[Device | EnrolmentRefused]:
        outcomes: list[Device | EnrolmentRefused] = []
        for token, key in asked:
            try:
                outcomes.append(self._devices.enrol(token, key))
            except EnrolmentRefused as error:  # not raised: it would have the others tried again
                outcomes.append(error)
        return outcomes


def open_fleet(url: str | None, *, required: bool) -> Fleet | None:
    """Return the fleet of a database by URL, None without one; ServiceError where it cannot be had or is missing."""
    if url is None and required:
        raise ServiceError("--require-devices wants to know the devices: name a --database, sqlite:///FILE for example")
    return None if url is None else Fleet(Database(url), required=required)


def _enrolment(body: bytes) -> tuple[str, PublicKey]:
    if len(body) > _ENROLMENT_LIMIT_BYTES:
        raise MessageTooLarge(f"an enrolment is {len(body):,} bytes; the limit is {_ENROLMENT_LIMIT_BYTES:,}")
    try:
        said = parse_object(body.decode())
        key = PublicKey.from_json({**PublicKey(b"").to_json(), "keyval": {"public": said.get("public")}})
    except (ValueError, TrustError) as error:
        raise WireError(f"an enrolment is JSON with 'token' and 'public', 64 lower-case digits; {error}") from error
    token = said.get("token")
    if not isinstance(token, str) or not token.isascii():
        raise WireError("an enrolment's token is the text that `persona devices token` showed")
    return token, key
