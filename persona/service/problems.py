"""Errors as problem details (RFC 9457): one shape for ours, the framework's, and those nobody foresaw."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from persona.errors import (
    EnrolmentRefused,
    FingerprintMismatch,
    MessageTooLarge,
    Overloaded,
    ServiceError,
    TooOften,
    Unauthenticated,
    UnusableRequest,
    WireError,
)

CONTENT_TYPE = "application/problem+json"

log = logging.getLogger("persona.service")

_NUMBER = re.compile(r"\d[\d.,e+-]*")
# The rest of a body that is too large or too slow is not worth reading.
_CLOSE = {"Connection": "close"}


@dataclass(frozen=True)
class Kind:
    """What a class of errors becomes; `name` ends the problem's type."""

    status: int
    name: str
    title: str
    headers: dict[str, str] = field(default_factory=dict)


KINDS: dict[type[Exception], Kind] = {
    WireError: Kind(400, "malformed", "The request is not a valid message"),
    Unauthenticated: Kind(
        401, "unauthenticated", "No enrolled device signed this request", {"WWW-Authenticate": "Persona-Device"}
    ),
    EnrolmentRefused: Kind(403, "enrolment-refused", "The device is not enrolled"),
    FingerprintMismatch: Kind(409, "other-bundle", "The request was made for another bundle"),
    MessageTooLarge: Kind(413, "too-large", "The request is too large", _CLOSE),
    UnusableRequest: Kind(422, "unusable", "The request does not fit this bundle's encoder"),
    ServiceError: Kind(500, "encoder-failed", "The encoder failed on this request"),
    TooOften: Kind(429, "too-often", "This peer asks too often", {"Retry-After": "1"}),
    Overloaded: Kind(503, "overloaded", "The service has no room for this request now", {"Retry-After": "1"}),
}


def install(app: FastAPI) -> None:
    """Let every error of an application leave it as problem details."""
    for root in (WireError, ServiceError, HTTPException, Exception):
        app.add_exception_handler(root, _answer)


def name_of(error: Exception) -> str:
    """Return the name that an error has in its problem's type; for those without one, their status in words."""
    kind = _kind_of(error)
    if kind is not None:
        return kind.name
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    return HTTPStatus(status).phrase.lower().replace(" ", "-")


def response_to(error: Exception) -> Response:
    """Return an error as problem details."""
    kind = _kind_of(error)
    if kind is not None:
        if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("%s: %s", error, _without_numbers(error.__cause__))
        return _problem(f"urn:persona:problem:{kind.name}", kind.title, kind.status, str(error), kind.headers)
    # The cause of an error nobody foresaw is in the log, and none of the client's business.
    status, detail, headers = 500, "the service failed on this request; its log says why", {}
    if isinstance(error, HTTPException):
        status, detail, headers = error.status_code, error.detail, dict(error.headers or {})
    if status == HTTPStatus.REQUEST_TIMEOUT:
        headers |= _CLOSE
    return _problem("about:blank", HTTPStatus(status).phrase, status, detail, headers)


def _kind_of(error: Exception) -> Kind | None:
    return next((KINDS[base] for base in type(error).__mro__ if base in KINDS), None)


async def _answer(_request: Request, error: Exception) -> Response:
    return response_to(error)


def _without_numbers(cause: BaseException | None) -> str:
    """Return what an error says, its numbers left out: they may be a device's data."""
    return _NUMBER.sub("#", str(cause))


def _problem(type_: str, title: str, status: int, detail: str, headers: dict[str, str]) -> Response:
    content = {"type": type_, "title": title, "status": status, "detail": detail}
    return Response(json.dumps(content), status, headers, CONTENT_TYPE)
