"""The HTTP border: which paths there are, what they take and give. docs/wire.md describes it for clients."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse
from starlette.routing import Route

import persona
from persona.errors import TrustError
from persona.service import openapi, problems
from persona.service.adaptation import Adaptation
from persona.service.bodies import Bodies
from persona.service.fleet import Fleet
from persona.service.limits import DEFAULT_LIMITS, Limits
from persona.service.metrics import CONTENT_TYPE as METRICS_CONTENT_TYPE
from persona.service.metrics import Metrics
from persona.service.observed import Observed
from persona.service.rates import Rates, is_near
from persona.service.shelf import Shelved, shelve
from persona.trust import SIGNED_CONTENT_TYPE, SigningKey, plain_reply
from persona.trust.publish import TRUST_FOLDER, read_metadata
from persona.wire import CONTENT_TYPE

_METADATA = re.compile(r"(?:[1-9][0-9]{0,9}\.root|timestamp|snapshot|targets)\.json", re.ASCII)


class Api(FastAPI):
    """FastAPI with plain endpoints: bodies are bytes, so nothing passes through pydantic."""

    def openapi(self) -> dict[str, Any]:
        """Return the description of the interface, binary bodies included."""
        return openapi.DOCUMENT


class Service:
    """The endpoints of the bundles of some folders, the newest first, and the counts that `healthz` reports."""

    def __init__(
        self, folders: Sequence[Path], limits: Limits, key: SigningKey | None = None, fleet: Fleet | None = None
    ) -> None:
        """Read both halves of each and try the encoders; BundleError where they are damaged or no pair.

        TrustError where no device would take replies that `key` signs.
        """
        self._trust = folders[0] / TRUST_FOLDER
        self.shelf = [shelve(folder, key) for folder in folders]
        self.bundle = self.shelf[0].bundle
        self.metrics = Metrics()
        self.adaptation = Adaptation([(one.bundle, one.encoder) for one in self.shelf], limits, key, self.metrics)
        self.bodies = Bodies(limits)
        self.fleet = fleet
        self.served = self.errors = 0
        self.draining = False
        batcher, bodies = self.adaptation.batcher, self.bodies
        self.metrics.watch(lambda: batcher.depth, lambda: bodies.held_bytes, lambda: self.draining)

    async def adapt(self, request: Request) -> Response:
        """Answer ``POST /v1/adapt``: an AdaptRequest in, an AdaptReply out, signed where the request says so."""
        found = request.headers.get("content-type", "")
        kind = found.partition(";")[0].strip().lower()
        try:
            if kind not in (CONTENT_TYPE, SIGNED_CONTENT_TYPE):
                raise HTTPException(415, f"the body is {found!r}; wanted {CONTENT_TYPE} or {SIGNED_CONTENT_TYPE}")
            reply = await self._adapt(request, signed=kind == SIGNED_CONTENT_TYPE)
        except Exception as error:
            self.errors += 1
            self.metrics.edit(problems.name_of(error))
            raise
        self.served += 1
        self.metrics.edit()
        return Response(reply, media_type=kind)

    async def enrol(self, request: Request) -> Response:
        """Answer ``POST /v1/devices``: a token and a public key in, the device's id and group out."""
        if self.fleet is None:
            raise HTTPException(404, "this service keeps no devices; it was started without --database")
        async with self.bodies.body_of(request) as body:
            return await self.fleet.enrol(request, body)

    async def newest_bundle(self, request: Request) -> Response:
        """Answer ``GET /v1/bundle``: the bundle that devices should have. Ask again, it may change."""
        return self._bundle(request, self.shelf[0], "no-cache")

    async def named_bundle(self, request: Request) -> Response:
        """Answer ``GET /v1/bundles/{fingerprint}``: that very bundle, which never changes."""
        wanted = request.path_params["fingerprint"]
        for one in self.shelf:
            if wanted == one.bundle.fingerprint:
                return self._bundle(request, one, "public, max-age=31536000, immutable")
        there = ", ".join(one.bundle.fingerprint for one in self.shelf)
        raise HTTPException(404, f"bundle {wanted!r} is not here; this service has {there}")

    async def items(self, request: Request) -> Response:
        """Answer ``GET /v1/items/{fingerprint}``: the item vectors of a bundle that ranks, streamed from their file."""
        wanted = request.path_params["fingerprint"]
        files = {one.bundle.ranking.fingerprint: one.items for one in self.shelf if one.bundle.ranking is not None}
        if wanted not in files:
            raise HTTPException(
                404, f"items {wanted!r} are not here; this service has {', '.join(files) or 'no items'}"
            )
        caching = {"ETag": f'"{wanted}"', "Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(files[wanted], headers=caching, media_type="application/octet-stream")

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

    async def readyz(self, _request: Request) -> Response:
        """Answer ``GET /readyz``: 200 where requests would be answered, 503 where they should go elsewhere."""
        stuck = self.adaptation.batcher.stuck(asyncio.get_running_loop().time())
        status = "draining" if self.draining else "stuck" if stuck else "ready"
        return Response(
            json.dumps({"status": status}), 200 if status == "ready" else 503, media_type="application/json"
        )

    async def show_metrics(self, request: Request) -> Response:
        """Answer ``GET /metrics``, in Prometheus's text format, to this machine and private networks."""
        if not is_near(request.client.host if request.client else None):
            raise HTTPException(404, "metrics are for this machine and private networks")
        return Response(self.metrics.page(), headers={"Content-Type": METRICS_CONTENT_TYPE})

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
        started = time.perf_counter()
        async with self.bodies.body_of(request) as body:
            self.metrics.body(time.perf_counter() - started)
            asking = None if self.fleet is None else await self.fleet.authenticated(request, body)
            reply = await (self.adaptation.signed_answer(body) if signed else self.adaptation.answer(body))
            if self.fleet is not None and asking is not None:
                plain = plain_reply(reply) if signed else reply
                await self.fleet.record(asking, plain, [one.bundle for one in self.shelf])
            return reply

    @staticmethod
    def _bundle(request: Request, one: Shelved, caching: str) -> Response:
        headers = {"ETag": f'"{one.bundle.fingerprint}"', "Cache-Control": caching}
        if _names(",".join(request.headers.getlist("if-none-match")), one.bundle.fingerprint):
            return Response(status_code=304, headers=headers)
        return Response(one.file, headers=headers, media_type="application/octet-stream")


def create_app(
    folders: Path | Sequence[Path],
    limits: Limits = DEFAULT_LIMITS,
    key: SigningKey | None = None,
    fleet: Fleet | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Api:
    """Return the ASGI application that serves the bundle in a folder that `persona export` wrote, or of several.

    Of several the first is the newest. `key` signs replies; `fleet` knows devices and keeps what they were given;
    `clock` paces those who ask too often. BundleError where a half is missing or damaged, the two are no pair, or the
    encoder does not run; TrustError where the release signed beside a bundle does not name the key.
    """
    service = Service([folders] if isinstance(folders, Path) else folders, limits, key, fleet)

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
    app.add_route("/readyz", service.readyz)
    app.add_route("/metrics", service.show_metrics)
    problems.install(app)
    paths = [route.path for route in app.routes if isinstance(route, Route)]
    app.add_middleware(Observed, paths=paths, rates=Rates(limits, clock), metrics=service.metrics)
    return app


def _names(if_none_match: str, fingerprint: str) -> bool:
    """Whether the header names this bundle: as one of a list, weakly or not, or by ``*``."""
    return if_none_match.strip() == "*" or fingerprint in re.findall(r'"([^"]*)"', if_none_match)
