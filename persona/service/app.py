"""The HTTP border: which paths there are, what they take and give. docs/wire.md describes it for clients."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse

import persona
from persona.bundle import DEVICE_FILE, Bundle, read_cloud_half, read_file
from persona.encoder import Encoder
from persona.errors import BundleError, TrustError
from persona.item_vectors import ITEMS_FILE, read_items
from persona.service import openapi, problems
from persona.service.adaptation import Adaptation
from persona.service.bodies import Bodies
from persona.service.fleet import Fleet
from persona.service.limits import DEFAULT_LIMITS, Limits
from persona.trust import SIGNED_CONTENT_TYPE, SigningKey, plain_reply
from persona.trust.publish import TRUST_FOLDER, published, read_metadata
from persona.wire import CONTENT_TYPE

_METADATA = re.compile(r"(?:[1-9][0-9]{0,9}\.root|timestamp|snapshot|targets)\.json", re.ASCII)


class Api(FastAPI):
    """FastAPI with plain endpoints: bodies are bytes, so nothing passes through pydantic."""

    def openapi(self) -> dict[str, Any]:
        """Return the description of the interface, binary bodies included."""
        return openapi.DOCUMENT


class Service:
    """The endpoints of one bundle, and the counts that `healthz` reports."""

    def __init__(self, folder: Path, limits: Limits, key: SigningKey | None = None, fleet: Fleet | None = None) -> None:
        """Read both halves and try the encoder; BundleError where they are damaged or no pair.

        TrustError where no device would take replies that `key` signs.
        """
        self._trust = folder / TRUST_FOLDER
        self.bundle_file = read_file(folder / DEVICE_FILE)
        self.bundle = Bundle.from_bytes(self.bundle_file)
        if key is not None:
            _check_named(key, folder, self.bundle.fingerprint)
        cloud = read_cloud_half(folder)
        if cloud.bundle_fingerprint != self.bundle.fingerprint:
            raise BundleError(
                f"the halves in {folder} are no pair: the cloud's is for {cloud.bundle_fingerprint[:12]}, "
                f"the device's is {self.bundle.fingerprint[:12]}; export both again"
            )
        self._items = folder / ITEMS_FILE
        if self.bundle.ranking is not None:
            read_items(self._items, self.bundle.ranking.fingerprint)
        self.adaptation = Adaptation(self.bundle, Encoder(cloud, self.bundle), limits, key)
        self.bodies = Bodies(limits)
        self.fleet = fleet
        self.served = self.errors = 0
        self.draining = False

    async def adapt(self, request: Request) -> Response:
        """Answer ``POST /v1/adapt``: an AdaptRequest in, an AdaptReply out, signed where the request says so."""
        found = request.headers.get("content-type", "")
        kind = found.partition(";")[0].strip().lower()
        try:
            if kind not in (CONTENT_TYPE, SIGNED_CONTENT_TYPE):
                raise HTTPException(415, f"the body is {found!r}; wanted {CONTENT_TYPE} or {SIGNED_CONTENT_TYPE}")
            reply = await self._adapt(request, signed=kind == SIGNED_CONTENT_TYPE)
        except Exception:
            self.errors += 1
            raise
        self.served += 1
        return Response(reply, media_type=kind)

    async def enrol(self, request: Request) -> Response:
        """Answer ``POST /v1/devices``: a token and a public key in, the device's id and group out."""
        if self.fleet is None:
            raise HTTPException(404, "this service keeps no devices; it was started without --database")
        async with self.bodies.body_of(request) as body:
            return await self.fleet.enrol(request, body)

    async def newest_bundle(self, request: Request) -> Response:
        """Answer ``GET /v1/bundle``: the bundle that devices should have. Ask again, it may change."""
        return self._bundle(request, "no-cache")

    async def named_bundle(self, request: Request) -> Response:
        """Answer ``GET /v1/bundles/{fingerprint}``: that very bundle, which never changes."""
        wanted = request.path_params["fingerprint"]
        if wanted != self.bundle.fingerprint:
            raise HTTPException(404, f"bundle {wanted!r} is not here; this service has {self.bundle.fingerprint}")
        return self._bundle(request, "public, max-age=31536000, immutable")

    async def items(self, request: Request) -> Response:
        """Answer ``GET /v1/items/{fingerprint}``: the item vectors of a bundle that ranks, streamed from their file."""
        ranking, wanted = self.bundle.ranking, request.path_params["fingerprint"]
        if ranking is None or wanted != ranking.fingerprint:
            there = "no items" if ranking is None else ranking.fingerprint
            raise HTTPException(404, f"items {wanted!r} are not here; this service has {there}")
        caching = {"ETag": f'"{wanted}"', "Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(self._items, headers=caching, media_type="application/octet-stream")

    async def healthz(self, _request: Request) -> Response:
        """Answer ``GET /healthz``: 200, or 503 once the service has been told to end."""
        facts = {
            "status": "draining" if self.draining else "ok",
            "bundle": self.bundle.fingerprint,
            "bank_version": self.bundle.bank.version,
            "served": self.served,
            "errors": self.errors,
            "version": persona.__version__,
        }
        return Response(json.dumps(facts), 503 if self.draining else 200, media_type="application/json")

    async def metadata(self, request: Request) -> Response:
        """Answer ``GET /v1/trust/{name}``: a file that `persona keys` or `persona sign` wrote, as it stands now."""
        name = request.path_params["name"]
        if not _METADATA.fullmatch(name):
            raise HTTPException(404, "no metadata has such a name")
        try:
            data = read_metadata(self._trust, name)
        except TrustError:
            raise HTTPException(404, f"this service has no {name}") from None
        return Response(data, headers={"Cache-Control": "no-cache"}, media_type="application/json")

    async def _adapt(self, request: Request, *, signed: bool) -> bytes:
        self.adaptation.batcher.check_room()
        async with self.bodies.body_of(request) as body:
            asking = None if self.fleet is None else await self.fleet.authenticated(request, body)
            reply = await (self.adaptation.signed_answer(body) if signed else self.adaptation.answer(body))
            if self.fleet is not None and asking is not None:
                await self.fleet.record(asking, plain_reply(reply) if signed else reply, [self.bundle])
            return reply

    def _bundle(self, request: Request, caching: str) -> Response:
        headers = {"ETag": f'"{self.bundle.fingerprint}"', "Cache-Control": caching}
        if _names(",".join(request.headers.getlist("if-none-match")), self.bundle.fingerprint):
            return Response(status_code=304, headers=headers)
        return Response(self.bundle_file, headers=headers, media_type="application/octet-stream")


def create_app(
    folder: Path, limits: Limits = DEFAULT_LIMITS, key: SigningKey | None = None, fleet: Fleet | None = None
) -> Api:
    """Return the ASGI application that serves the bundle in a folder that `persona export` wrote.

    `key` signs replies; `fleet` knows devices and keeps what they were given.
    BundleError where a half is missing or damaged, the two are no pair, or the encoder does not run; TrustError where
    the release signed beside the bundle does not name the key.
    """
    service = Service(folder, limits, key, fleet)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.adaptation.batcher.close()
        if fleet is not None:
            await fleet.close()

    app = Api(title="persona", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_route("/v1/adapt", service.adapt, methods=["POST"])
    app.add_route("/v1/devices", service.enrol, methods=["POST"])
    app.add_route("/v1/bundle", service.newest_bundle)
    app.add_route("/v1/bundles/{fingerprint}", service.named_bundle)
    app.add_route("/v1/items/{fingerprint}", service.items)
    app.add_route("/v1/trust/{name}", service.metadata)
    app.add_route("/healthz", service.healthz)
    problems.install(app)
    return app


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


def _names(if_none_match: str, fingerprint: str) -> bool:
    """Whether the header names this bundle: as one of a list, weakly or not, or by ``*``."""
    return if_none_match.strip() == "*" or fingerprint in re.findall(r'"([^"]*)"', if_none_match)
