"""The HTTP border: which paths there are, what they take and give. docs/wire.md describes it for clients."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

import persona
from persona.bundle import DEVICE_FILE, Bundle, read_cloud_half, read_file
from persona.encoder import Encoder
from persona.errors import BundleError
from persona.service import openapi, problems
from persona.service.adaptation import Adaptation
from persona.service.bodies import Bodies
from persona.service.limits import DEFAULT_LIMITS, Limits
from persona.wire import CONTENT_TYPE


class Api(FastAPI):
    """FastAPI with plain endpoints: bodies are bytes, so nothing passes through pydantic."""

    def openapi(self) -> dict[str, Any]:
        """Return the description of the interface, binary bodies included."""
        return openapi.DOCUMENT


class Service:
    """The endpoints of one bundle, and the counts that `healthz` reports."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Read both halves and try the encoder; BundleError where they are damaged or no pair."""
        self.bundle_file = read_file(folder / DEVICE_FILE)
        self.bundle = Bundle.from_bytes(self.bundle_file)
        cloud = read_cloud_half(folder)
        if cloud.bundle_fingerprint != self.bundle.fingerprint:
            raise BundleError(
                f"the halves in {folder} are no pair: the cloud's is for {cloud.bundle_fingerprint[:12]}, "
                f"the device's is {self.bundle.fingerprint[:12]}; export both again"
            )
        self.adaptation = Adaptation(self.bundle, Encoder(cloud, self.bundle), limits)
        self.bodies = Bodies(limits)
        self.served = self.errors = 0
        self.draining = False

    async def adapt(self, request: Request) -> Response:
        """Answer ``POST /v1/adapt``: an AdaptRequest in, an AdaptReply out."""
        try:
            reply = await self._adapt(request)
        except Exception:
            self.errors += 1
            raise
        self.served += 1
        return Response(reply, media_type=CONTENT_TYPE)

    async def newest_bundle(self, request: Request) -> Response:
        """Answer ``GET /v1/bundle``: the bundle that devices should have. Ask again, it may change."""
        return self._bundle(request, "no-cache")

    async def named_bundle(self, request: Request) -> Response:
        """Answer ``GET /v1/bundles/{fingerprint}``: that very bundle, which never changes."""
        wanted = request.path_params["fingerprint"]
        if wanted != self.bundle.fingerprint:
            raise HTTPException(404, f"bundle {wanted!r} is not here; this service has {self.bundle.fingerprint}")
        return self._bundle(request, "public, max-age=31536000, immutable")

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

    async def _adapt(self, request: Request) -> bytes:
        found = request.headers.get("content-type", "")
        if found.partition(";")[0].strip().lower() != CONTENT_TYPE:
            raise HTTPException(415, f"the body is {found!r}; wanted {CONTENT_TYPE}")
        self.adaptation.batcher.check_room()
        async with self.bodies.body_of(request) as body:
            return await self.adaptation.answer(body)

    def _bundle(self, request: Request, caching: str) -> Response:
        headers = {"ETag": f'"{self.bundle.fingerprint}"', "Cache-Control": caching}
        if _names(",".join(request.headers.getlist("if-none-match")), self.bundle.fingerprint):
            return Response(status_code=304, headers=headers)
        return Response(self.bundle_file, headers=headers, media_type="application/octet-stream")


def create_app(folder: Path, limits: Limits = DEFAULT_LIMITS) -> Api:
    """Return the ASGI application that serves the bundle in a folder that `persona export` wrote.

    BundleError where a half is missing or damaged, the two are no pair, or the encoder does not run.
    """
    service = Service(folder, limits)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.adaptation.batcher.close()

    app = Api(title="persona", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_route("/v1/adapt", service.adapt, methods=["POST"])
    app.add_route("/v1/bundle", service.newest_bundle)
    app.add_route("/v1/bundles/{fingerprint}", service.named_bundle)
    app.add_route("/healthz", service.healthz)
    problems.install(app)
    return app


def _names(if_none_match: str, fingerprint: str) -> bool:
    """Whether the header names this bundle: as one of a list, weakly or not, or by ``*``."""
    return if_none_match.strip() == "*" or fingerprint in re.findall(r'"([^"]*)"', if_none_match)
