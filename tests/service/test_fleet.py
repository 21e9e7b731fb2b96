"""A service that knows its devices: they enrol, they sign, and every other request is refused as a problem."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from persona.bundle import Bundle
from persona.device.identity import Identity
from persona.errors import ServiceError, Unauthenticated
from persona.service import create_app
from persona.service.fleet import Fleet, open_fleet
from persona.service.state import Database, Devices
from persona.service.state.tables import ASSIGNMENTS
from persona.trust import Asking
from tests.service.asgi import Answer, Client
from tests.service.asking import HEADERS, features, sketch_request
from tests.service.state.conftest import NOW_S, Clock
from tests.signed import key

PHONE = Identity(key("phone"), lambda: NOW_S)


class Site:
    """A service on a database of its own, its devices, and a clock for both."""

    def __init__(self, folder: Path, path: Path, *, required: bool = True) -> None:
        self.clock = Clock()
        self.database = Database(f"sqlite:///{path}", self.clock)
        self.devices = Devices(self.database)
        self.client = Client(create_app(folder, fleet=Fleet(self.database, required=required)))

    def adapt(self, body: bytes, headers: dict[str, str]) -> Answer:
        return self.client.post("/v1/adapt", body, {**HEADERS, **headers})

    def enrol(self, identity: Identity, token: str) -> Answer:
        body = f'{{"token": "{token}", "public": "{identity.key.public.value.hex()}"}}'.encode()
        return self.client.post("/v1/devices", body, identity.headers("POST", "/v1/devices", body))

    def assignments(self) -> list[tuple[str, int]]:
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(select(ASSIGNMENTS.c.device, ASSIGNMENTS.c.prototype))]


@pytest.fixture
def site(sketch_folder: Path, tmp_path: Path) -> Iterator[Site]:
    site = Site(sketch_folder, tmp_path / "state.db")
    with site.client:
        yield site


def refused(answer: Answer, status: int, said: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, answer.json()["status"]) == (status, status)
    assert said in answer.json()["detail"]


def test_a_device_enrols_asks_and_is_revoked(site: Site, bundle: Bundle) -> None:
    token, body = site.devices.new_token("phones", 60, "me"), sketch_request(bundle, features(-1, 1, 1, -1))
    refused(site.adapt(body, PHONE.headers("POST", "/v1/adapt", body)), 401, "not enrolled")
    answer = site.enrol(PHONE, token)
    assert (answer.status, answer.json()) == (200, {"device": PHONE.key.public.id, "group": "phones"})
    assert site.enrol(PHONE, token).status == 200, "an answer that was lost can be asked for again"
    refused(site.enrol(Identity(key("thief"), PHONE.clock), token), 403, "used")
    assert site.adapt(body, PHONE.headers("POST", "/v1/adapt", body)).status == 200
    assert site.assignments() == [(PHONE.key.public.id, 1)]
    site.devices.revoke(PHONE.key.public.id, "me")
    refused(site.adapt(body, PHONE.headers("POST", "/v1/adapt", body)), 401, "revoked")
    assert len(site.assignments()) == 1


def test_only_this_request_by_this_device_now_counts(site: Site, bundle: Bundle) -> None:
    site.enrol(PHONE, site.devices.new_token("phones", 60, "me"))
    body, other = sketch_request(bundle, features(1)), sketch_request(bundle, features(2))
    headers = PHONE.headers("POST", "/v1/adapt", body)
    refused(site.adapt(body, {}), 401, "not signed")
    refused(site.adapt(other, headers), 401, "this very request")
    refused(site.adapt(body, PHONE.headers("POST", "/v1/devices", body)), 401, "this very request")
    thief = replace(PHONE, key=key("thief")).headers("POST", "/v1/adapt", body)
    refused(site.adapt(body, {**thief, "persona-device": PHONE.key.public.id}), 401, "this very request")
    for off in (-301, 301):
        late = replace(PHONE, clock=lambda off=off: NOW_S + off)
        refused(site.adapt(body, late.headers("POST", "/v1/adapt", body)), 401, "clock")
    for name in headers:
        refused(site.adapt(body, {k: v for k, v in headers.items() if k != name}), 401, name)
    assert site.assignments() == []
    assert site.adapt(body, headers).status == 200
    replayed = site.adapt(body, headers)
    refused(replayed, 401, "answered before")
    assert replayed.headers["www-authenticate"]
    assert len(site.assignments()) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"\xff", b'{"token": 1, "public": "' + b"0" * 64 + b'"}', b'{"token": "x", "public": "AB"}',
        b'{"token": "x", "token": "y"}', b"[" * 4000, '{"token": "é", "public": "'.encode() + b"0" * 64 + b'"}',
    ],
)  # fmt: skip
def test_an_enrolment_of_another_form_is_refused(site: Site, body: bytes) -> None:
    refused(site.client.post("/v1/devices", body, PHONE.headers("POST", "/v1/devices", body)), 400, "enrolment")
    assert site.devices.listed(1) == []


def test_an_enrolment_wants_the_keys_own_signature(site: Site) -> None:
    token = site.devices.new_token("phones", 60, "me")
    body = f'{{"token": "{token}", "public": "{key("victim").public.value.hex()}"}}'.encode()
    refused(site.client.post("/v1/devices", body), 401, "not signed")
    refused(site.client.post("/v1/devices", body, PHONE.headers("POST", "/v1/devices", body)), 401, "signature")
    refused(site.client.post("/v1/devices", b" " * 5000), 413, "4,096")


def test_without_the_switch_unsigned_requests_are_answered_and_not_recorded(
    sketch_folder: Path, tmp_path: Path, bundle: Bundle
) -> None:
    site, body = Site(sketch_folder, tmp_path / "state.db", required=False), sketch_request(bundle, features(1))
    with site.client:
        assert site.adapt(body, {}).status == 200
        refused(site.adapt(body, PHONE.headers("POST", "/v1/adapt", body)), 401, "not enrolled")
        assert site.assignments() == []


def test_a_database_that_is_gone_is_a_503_and_comes_back(site: Site, bundle: Bundle) -> None:
    site.enrol(PHONE, site.devices.new_token("phones", 60, "me"))
    body = sketch_request(bundle, features(1))
    with site.database.writing() as connection:
        connection.execute(text("ALTER TABLE assignments RENAME TO gone"))
    answer = site.adapt(body, PHONE.headers("POST", "/v1/adapt", body))
    refused(answer, 503, "database")
    assert answer.headers["retry-after"]
    with site.database.writing() as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO assignments"))
    assert site.adapt(body, PHONE.headers("POST", "/v1/adapt", body)).status == 200


def test_a_service_without_a_database_keeps_no_devices(client: Client) -> None:
    refused(client.post("/v1/devices", b"{}"), 404, "--database")
    assert open_fleet(None, required=False) is None
    with pytest.raises(ServiceError, match="--database"):
        open_fleet(None, required=True)


@given(st.dictionaries(st.sampled_from(sorted(PHONE.headers("POST", "/", b""))), st.text("0af", max_size=130)))
def test_no_headers_crash_their_reader(headers: dict[str, str]) -> None:
    try:
        asking = Asking.of(headers, "POST", "/", b"")
    except Unauthenticated:
        return
    assert asking is None
    assert not any(headers.values())
