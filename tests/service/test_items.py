"""A service of a bundle that ranks: events in, codes out, and the item vectors for whoever has the bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from persona.bundle import write_export
from persona.device import fetch_items
from persona.errors import BundleError, CloudError
from persona.item_vectors import ITEMS_FILE, read_items
from persona.service import create_app
from persona.wire import CONTENT_TYPE, AdaptReply, AdaptRequest
from tests.device.servers import Told, http_service
from tests.ranked import Ring
from tests.service.asgi import Client
from tests.worlds import World

HEADERS = {"content-type": CONTENT_TYPE}


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    ring = Ring(tmp_path_factory.mktemp("ring"))
    write_export(ring.folder, ring.bundle, ring.encoder)
    return ring


@pytest.fixture(scope="module")
def client(ring: Ring) -> Iterator[Client]:
    with Client(create_app(ring.folder)) as client:
        yield client


def asked(ring: Ring, events: list[list[float]], dtype: str = "int32") -> bytes:
    return AdaptRequest(ring.bundle.fingerprint, "samples", np.asarray(events, dtype), len(events)).encode()


def test_events_become_the_code_that_the_adapter_means(ring: Ring, client: Client) -> None:
    events = [[2, 100], [4, 50], [5, 0]]
    answer = client.post("/v1/adapt", asked(ring, events), HEADERS)
    assert answer.status == 200
    reply = AdaptReply.decode(answer.body, (1, 2))
    code = ring.bundle.bank.compose(reply.prototype, reply.residual)
    assert np.allclose(code, [[1 / 3, 0]], atol=1e-3)  # two even, one odd; float16 on the way
    assert client.post("/v1/adapt", asked(ring, events, "int64"), HEADERS).status == 200


@pytest.mark.parametrize(
    ("events", "dtype"),
    [
        ([[0, 5]], "int32"),
        ([[7, 5]], "int32"),
        ([[-1, 5]], "int32"),
        ([[2**40, 5]], "int64"),
        ([[1, -5]], "int32"),
        ([[1.5, 5]], "float32"),
        ([[1, 5, 5]], "int32"),
        ([[1, 5]] * 9, "int32"),
    ],
)
def test_events_that_are_none_are_refused(ring: Ring, client: Client, events: list[list[float]], dtype: str) -> None:
    assert client.post("/v1/adapt", asked(ring, events, dtype), HEADERS).status == 422


def test_the_items_are_served_under_their_fingerprint(ring: Ring, client: Client) -> None:
    named = f"/v1/items/{ring.catalogue.fingerprint}"
    answer = client.get(named)
    assert answer.status == 200
    assert answer.body == (ring.folder / ITEMS_FILE).read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    for other in ("0" * 64, "..%2fdevice.persona", ring.catalogue.fingerprint[:12]):
        assert client.get(f"/v1/items/{other}").status == 404


def test_a_service_needs_the_items_of_its_bundle(ring: Ring, tmp_path: Path) -> None:
    write_export(tmp_path, ring.bundle, ring.encoder)
    with pytest.raises(BundleError, match="cannot be read"):
        create_app(tmp_path)
    (tmp_path / "other").mkdir()
    assert Ring(tmp_path / "other", items=5).catalogue.n_items == 5
    (tmp_path / "other" / ITEMS_FILE).rename(tmp_path / ITEMS_FILE)
    with pytest.raises(BundleError, match="not those of the bundle"):
        create_app(tmp_path)


def test_a_service_that_ranks_nothing_has_no_items(tmp_path: Path) -> None:
    world = World()
    write_export(tmp_path, world.bundle, world.encoder)
    with Client(create_app(tmp_path)) as client:
        assert client.get("/v1/items/" + "0" * 64).status == 404


def test_a_device_fetches_the_items_that_its_bundle_names(ring: Ring, tmp_path: Path) -> None:
    data, paths = (ring.folder / ITEMS_FILE).read_bytes(), []

    def answer(request: object) -> Told:
        paths.append(request.path)  # type: ignore[attr-defined]
        return Told(200, data)

    with http_service(answer) as url:
        for _ in range(2):  # what is there is not fetched again
            fetch_items(url, ring.bundle, tmp_path / ITEMS_FILE)
    assert paths == [f"/v1/items/{ring.catalogue.fingerprint}"]
    assert read_items(tmp_path).fingerprint == ring.catalogue.fingerprint
    (tmp_path / "folder").mkdir()
    with http_service(answer) as url:
        fetch_items(url, ring.bundle, tmp_path / "folder")
    assert read_items(tmp_path / "folder").fingerprint == ring.catalogue.fingerprint
    (tmp_path / ITEMS_FILE).write_bytes(data[:-1])
    with http_service(answer) as url:
        fetch_items(url, ring.bundle, tmp_path / ITEMS_FILE)
    assert read_items(tmp_path).fingerprint == ring.catalogue.fingerprint


def test_other_items_are_not_taken(ring: Ring, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert Ring(tmp_path / "other", items=5).catalogue.n_items == 5
    other = (tmp_path / "other" / ITEMS_FILE).read_bytes()
    data = (ring.folder / ITEMS_FILE).read_bytes()
    for body in (b"", other, data[:-1], data + b"\0" * 8):
        with http_service(lambda _, body=body: Told(200, body)) as url, pytest.raises(BundleError):
            fetch_items(url, ring.bundle, tmp_path / ITEMS_FILE)
    with http_service(lambda _: Told(404)) as url, pytest.raises(CloudError, match="404"):
        fetch_items(url, ring.bundle, tmp_path / ITEMS_FILE)
    with http_service(lambda _: Told(200)) as url, pytest.raises(BundleError, match="ranks no items"):
        fetch_items(url, World().bundle, tmp_path / ITEMS_FILE)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
