"""A service that signs: replies for the very request, metadata by name and by no other path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from persona.bundle import Bundle, read_bundle, write_export
from persona.errors import TrustError
from persona.service import create_app
from persona.trust import SIGNED_CONTENT_TYPE, open_reply, seal_request
from persona.trust.publish import TRUST_FOLDER
from persona.wire import CONTENT_TYPE, REQUEST_LIMIT_BYTES, AdaptReply, AdaptRequest
from tests.service.asgi import Client
from tests.service.asking import HEADERS, features, sketch_request
from tests.service.graphs import sketch_encoder
from tests.signed import Owner, key
from tests.tiny_bundles import tiny_bundle

SIGNED = {"content-type": SIGNED_CONTENT_TYPE}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Owner().publish(tmp_path, tiny_bundle(), encoder=sketch_encoder())
    return tmp_path


@pytest.fixture
def signer(folder: Path) -> Iterator[Client]:
    with Client(create_app(folder, key=key("reply"))) as client:
        yield client


def asked(folder: Path) -> tuple[Bundle, bytes]:
    bundle = read_bundle(folder)
    return bundle, seal_request(AdaptRequest.decode(sketch_request(bundle, features(1, -1, 1, 2))), b"12345678")


def test_a_signed_request_gets_a_signed_reply_and_a_plain_one_a_plain_one(folder: Path, signer: Client) -> None:
    bundle, body = asked(folder)
    answer = signer.post("/v1/adapt", body, SIGNED)
    assert (answer.status, answer.headers["content-type"]) == (200, SIGNED_CONTENT_TYPE)
    shape = bundle.decoder.code_shape
    reply = open_reply(answer.body, body, bundle.fingerprint, [key("reply").public], shape)
    plain = signer.post("/v1/adapt", sketch_request(bundle, features(1, -1, 1, 2)), HEADERS)
    assert (plain.status, plain.headers["content-type"]) == (200, CONTENT_TYPE)
    assert plain.body == reply.encode()
    assert AdaptReply.decode(plain.body, shape).prototype == reply.prototype


def test_the_type_and_the_version_must_agree(folder: Path, signer: Client) -> None:
    bundle, body = asked(folder)
    assert signer.post("/v1/adapt", body, HEADERS).status == 400
    assert signer.post("/v1/adapt", sketch_request(bundle, features(1)), SIGNED).status == 400
    for wrong in (b"", body[:-1], body[:7], body + b"\0"):
        assert signer.post("/v1/adapt", wrong, SIGNED).status == 400
    assert signer.post("/v1/adapt", bytes(REQUEST_LIMIT_BYTES + 1), SIGNED).status == 413
    assert signer.post("/v1/adapt", body, {"content-type": "application/json"}).status == 415


def test_a_service_without_a_key_says_so(folder: Path) -> None:
    _, body = asked(folder)
    with Client(create_app(folder)) as client:
        answer = client.post("/v1/adapt", body, SIGNED)
    assert answer.status == 422
    assert "no key to sign with" in answer.json()["detail"]


def test_metadata_is_served_as_it_stands_now(folder: Path, signer: Client) -> None:
    for name in ("1.root.json", "timestamp.json", "snapshot.json", "targets.json"):
        answer = signer.get(f"/v1/trust/{name}")
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-cache")
        assert answer.body == (folder / TRUST_FOLDER / name).read_bytes()
    before = signer.get("/v1/trust/timestamp.json").body
    Owner().refresh(folder, 1_900_100_000)
    assert signer.get("/v1/trust/timestamp.json").body != before


@pytest.mark.parametrize(
    "name",
    [
        "2.root.json", "root.json", "0.root.json", "../device.persona", "..%2fdevice.persona", "..", "secret", "",
        "timestamp.json/", "Timestamp.json", "timestamp.json\n", "99999999999.root.json", "١.root.json", ".json",
    ],
)  # fmt: skip
def test_nothing_else_of_the_folder_is_served(folder: Path, signer: Client, name: str) -> None:
    (folder / TRUST_FOLDER / "secret").write_text("a key that somebody left here")
    answer = signer.get(f"/v1/trust/{name}")
    assert answer.status in (307, 404)
    assert b"somebody" not in answer.body


def test_a_key_that_no_device_would_believe_is_refused_at_the_start(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="does not name reply key"):
        create_app(folder, key=key("another"))
    write_export(folder, replace(tiny_bundle(), about={"another": 1}), sketch_encoder())
    with pytest.raises(TrustError, match="sign it with"):
        create_app(folder, key=key("reply"))
    write_export(tmp_path / "unsigned", tiny_bundle(), sketch_encoder())
    with pytest.raises(TrustError, match="cannot be read"):
        create_app(tmp_path / "unsigned", key=key("reply"))
