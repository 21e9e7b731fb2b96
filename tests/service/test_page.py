"""docs/wire.md is a claim: its numbers, paths, statuses and names are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.routing import Route

from persona import wire
from persona.answer import EXPIRES_S
from persona.service import problems, server
from persona.service.limits import DEFAULT_LIMITS
from tests.service.asgi import Client

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "wire.md").read_text()


def test_the_page_names_every_path(client: Client) -> None:
    named = set(re.findall(r"`(GET|POST) (/[^`]*)`", PAGE))
    routes = [route for route in client.app.routes if isinstance(route, Route)]
    assert named == {(method, r.path) for r in routes for method in r.methods or () if method != "HEAD"}


def test_the_page_names_every_problem() -> None:
    rows = {(int(status), name) for status, name in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PAGE, re.MULTILINE)}
    assert rows == {(kind.status, kind.name) for kind in problems.KINDS.values()}


def test_the_page_has_the_limits() -> None:
    limits = DEFAULT_LIMITS
    assert f"At most {wire.REQUEST_LIMIT_BYTES:,} bytes" in PAGE
    assert f"At most {wire.REPLY_LIMIT_BYTES:,} bytes" in PAGE
    assert wire.CONTENT_TYPE in PAGE
    assert limits.body_bytes == wire.REQUEST_LIMIT_BYTES
    assert f"within {limits.body_s:g} s; the connection" in PAGE
    assert f"{limits.waiting} requests wait, or {limits.held_bytes >> 20} MiB of bodies" in PAGE
    assert f"no turn within {limits.wait_s:g} s" in PAGE
    assert f"float16 and {EXPIRES_S} seconds" in PAGE
    assert f"for up to {server.DRAIN_S} s" in PAGE
