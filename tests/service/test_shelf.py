"""Several bundles side by side: each request is answered by the bundle that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from persona.bundle import Bundle, read_bundle, write_export
from persona.errors import BundleError
from persona.service import create_app
from persona.wire import AdaptReply
from tests.service.asgi import Answer, Client, call
from tests.service.asking import HEADERS, features, sketch_request
from tests.service.graphs import FAILS, sketch_encoder
from tests.tiny_bundles import tiny_bundle


@pytest.fixture(scope="module")
def old_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    whole = tiny_bundle()
    write_export(folder, replace(whole, bank=replace(whole.bank, version=3)), sketch_encoder())
    return folder


@pytest.fixture
def both(sketch_folder: Path, old_folder: Path) -> Iterator[Client]:
    with Client(create_app([sketch_folder, old_folder])) as client:
        yield client


def test_each_device_is_answered_for_its_own_bundle(both: Client, bundle: Bundle, old_folder: Path) -> None:
    old = read_bundle(old_folder)
    bodies = [sketch_request(one, features(k / 8)) for k in range(6) for one in (bundle, old)]
    bodies.append(sketch_request(old, features(1, at={FAILS: 10})))

    async def crowd() -> list[Answer]:
        return await asyncio.gather(*(call(both.app, "POST", "/v1/adapt", body, HEADERS) for body in bodies))

    *answers, failed = both.run(crowd())
    assert failed.status == 500
    for answer, (one, version) in zip(answers, [(bundle, 7), (old, 3)] * 6, strict=True):
        reply = AdaptReply.decode(answer.body, one.decoder.code_shape)
        assert (reply.fingerprint, reply.bank_version) == (one.fingerprint[:12], version)
    page = both.get("/metrics").body.decode()
    for one in (bundle, old):
        counted = [line for line in page.splitlines() if "prototype_replies" in line and one.fingerprint[:12] in line]
        assert sum(float(line.rsplit(" ", 1)[1]) for line in counted) == 6, "what was tried again counts once"


def test_new_devices_get_the_first_and_old_ones_find_theirs(both: Client, bundle: Bundle, old_folder: Path) -> None:
    old = read_bundle(old_folder)
    assert both.get("/v1/bundle").headers["etag"] == f'"{bundle.fingerprint}"'
    for one in (bundle, old):
        assert both.get(f"/v1/bundles/{one.fingerprint}").headers["etag"] == f'"{one.fingerprint}"'
    assert old.fingerprint in both.get("/v1/bundles/none").json()["detail"]


def test_one_bundle_twice_is_refused(sketch_folder: Path) -> None:
    with pytest.raises(BundleError, match="named twice"):
        create_app([sketch_folder, sketch_folder])
