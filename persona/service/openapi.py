"""What ``/openapi.json`` says: written by hand, since the bodies are bytes that no model describes."""

from __future__ import annotations

from typing import Any

import persona
from persona.service import problems
from persona.trust import SIGNED_CONTENT_TYPE
from persona.wire import CONTENT_TYPE, REQUEST_LIMIT_BYTES

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "The bundle's fingerprint, in double quotes."}}
_RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}


def _problem(description: str, **more: Any) -> dict[str, Any]:
    content = {problems.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": description, "content": content, **more}


_TOO_OFTEN = _problem("This address asks too often.", headers=_RETRY)


def _bundle(summary: str, **more: Any) -> dict[str, Any]:
    found = {"description": "The device's half of the bundle.", "headers": _ETAG}
    return {
        "summary": summary,
        "responses": {
            "200": {**found, "content": {"application/octet-stream": _BINARY}},
            "304": {"description": "If-None-Match names this bundle.", "headers": _ETAG},
            "429": _TOO_OFTEN,
            **more.pop("responses", {}),
        },
        **more,
    }


_ADAPT = {
    "summary": "Which prototype, and which residual code, a device is to use",
    "operationId": "adapt",
    "requestBody": {
        "required": True,
        "description": f"An AdaptRequest, at most {REQUEST_LIMIT_BYTES:,} bytes; table in docs/wire.md.",
        "content": {CONTENT_TYPE: _BINARY, SIGNED_CONTENT_TYPE: _BINARY},
    },
    "responses": {
        "200": {
            "description": "An AdaptReply, of the request's type; a signed one for a signed request.",
            "content": {CONTENT_TYPE: _BINARY, SIGNED_CONTENT_TYPE: _BINARY},
        },
        "400": _problem("The body is not an AdaptRequest, or ended early."),
        "401": _problem("No enrolled device signed it, or it was sent before."),
        "408": _problem("The body did not come in time."),
        "409": _problem("The request was made for another bundle: fetch /v1/bundle."),
        "413": _problem("The body is too large."),
        "415": _problem(f"The body is neither {CONTENT_TYPE} nor {SIGNED_CONTENT_TYPE}."),
        "422": _problem("The request is not of the context, shape or range that this bundle's encoder reads."),
        "429": _TOO_OFTEN,
        "500": _problem("The encoder failed on this request."),
        "503": _problem("No room, no time, or shutting down: ask again.", headers=_RETRY),
    },
}

_ENROL = {
    "summary": "Enrol a device by a one-time token",
    "operationId": "enrol",
    "requestBody": {
        "required": True,
        "description": "Signed by the key it names, as docs/wire.md says.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["token", "public"],
                    "properties": {
                        "token": {"type": "string"},
                        "public": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "The device is enrolled, now or before.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"device": {"type": "string"}, "group": {"type": "string"}},
                    }
                }
            },
        },
        "400": _problem("The body has another form, or ended early."),
        "401": _problem("The key that is to be enrolled did not sign this request now."),
        "403": _problem("The token enrols nobody now, or the key was revoked."),
        "404": _problem("This service keeps no devices."),
        "408": _problem("The body did not come in time."),
        "413": _problem("The body is too large."),
        "503": _problem("No room, no time, or no database now: ask again.", headers=_RETRY),
    },
}

_HEALTH_PROPERTIES: dict[str, Any] = {
    "status": {"enum": ["ok", "draining"]},
    "bundle": {"type": "string", "description": "Fingerprint of the bundle that is served."},
    "bank_version": {"type": "integer"},
    "served": {"type": "integer", "description": "Adapt requests answered with a reply since the start."},
    "errors": {"type": "integer", "description": "Adapt requests answered with a problem since the start."},
    "version": {"type": "string", "description": "Release of the service."},
}
_READY_PROPERTIES = {"status": {"enum": ["ready", "draining", "stuck"]}}
_READY = {"application/json": {"schema": {"type": "object", "properties": _READY_PROPERTIES}}}
_PLAIN = {"text/plain": {"schema": {"type": "string"}}}
_PARTS = {"application/octet-stream": _BINARY, "multipart/byteranges": _BINARY}
_HEALTH = {"application/json": {"schema": {"type": "object", "properties": _HEALTH_PROPERTIES}}}


def _in_path(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": description}


_FINGERPRINT = _in_path("fingerprint", "64 hexadecimal digits.")
_METADATA_NAME = _in_path("name", "N.root.json, timestamp.json, snapshot.json or targets.json.")

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "persona", "version": persona.__version__},
    "paths": {
        "/v1/adapt": {"post": _ADAPT},
        "/v1/devices": {"post": _ENROL},
        "/v1/bundle": {"get": _bundle("The bundle that devices should have", operationId="newestBundle")},
        "/v1/bundles/{fingerprint}": {
            "get": _bundle(
                "One bundle by name",
                operationId="namedBundle",
                parameters=[_FINGERPRINT],
                responses={"404": _problem("This service has another bundle.")},
            )
        },
        "/v1/items/{fingerprint}": {
            "get": {
                "summary": "The item vectors that a ranking bundle names",
                "operationId": "items",
                "parameters": [_FINGERPRINT],
                "responses": {
                    "200": {"description": "The file.", "content": {"application/octet-stream": _BINARY}},
                    "206": {"description": "The part that Range names.", "content": _PARTS},
                    "400": {"description": "Range is malformed.", "content": _PLAIN},
                    "404": _problem("This service has other items, or none."),
                    "416": {"description": "The file has no such part.", "content": _PLAIN},
                    "429": _TOO_OFTEN,
                },
            }
        },
        "/v1/trust/{name}": {
            "get": {
                "summary": "A file of signed metadata",
                "operationId": "metadata",
                "parameters": [_METADATA_NAME],
                "responses": {
                    "200": {"description": "The file.", "content": {"application/json": {"schema": {}}}},
                    "404": _problem("There is none of that name."),
                    "429": _TOO_OFTEN,
                },
            }
        },
        "/readyz": {
            "get": {
                "summary": "Whether requests should be sent here",
                "operationId": "ready",
                "responses": {
                    "200": {"description": "They should.", "content": _READY},
                    "429": _TOO_OFTEN,
                    "503": {"description": "They should go elsewhere.", "content": _READY},
                },
            }
        },
        "/metrics": {
            "get": {
                "summary": "Counts and times in Prometheus's text format, for this machine and private networks",
                "operationId": "metrics",
                "responses": {
                    "200": {"description": "The page.", "content": {"text/plain": {"schema": {"type": "string"}}}},
                    "404": _problem("The address that asks is not of this machine or a private network."),
                    "429": _TOO_OFTEN,
                },
            }
        },
        "/healthz": {
            "get": {
                "summary": "Whether requests are taken, and what has been served",
                "operationId": "health",
                "responses": {
                    "200": {"description": "Requests are taken.", "content": _HEALTH},
                    "429": _TOO_OFTEN,
                    "503": {"description": "The service is shutting down.", "content": _HEALTH},
                },
            }
        },
    },
    "components": {
        "schemas": {
            "Problem": {
                "type": "object",
                "description": "RFC 9457 problem details.",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}
