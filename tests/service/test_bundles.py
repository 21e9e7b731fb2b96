"""GET /v1/bundle and /v1/bundles/{fingerprint}: the device's half, and when not to send it."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona.bundle import CLOUD_FILE, DEVICE_FILE, Bundle, read_bundle, write_export
from persona.errors import BundleError
from persona.service import create_app
from tests.service.asgi import Client
from tests.service.graphs import sketch_encoder
from tests.tiny_bundles import tiny_bank, tiny_bundle


def paths(bundle: Bundle) -> list[str]:
    return ["/v1/bundle", f"/v1/bundles/{bundle.fingerprint}"]


def test_the_file_is_served_as_it_is(client: Client, bundle: Bundle, sketch_folder: Path) -> None:
    for path in paths(bundle):
        answer = client.get(path)
        assert answer.status == 200
        assert answer.body == (sketch_folder / DEVICE_FILE).read_bytes()
        assert answer.headers["content-length"] == str(len(answer.body))
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["etag"] == f'"{bundle.fingerprint}"'


def test_only_the_bundle_that_has_a_name_may_be_kept_for_ever(client: Client, bundle: Bundle) -> None:
    newest, named = (client.get(path).headers["cache-control"] for path in paths(bundle))
    assert newest == "no-cache"
    assert "immutable" in named


def test_another_bundle_is_not_here(client: Client, bundle: Bundle) -> None:
    for name in ("0" * 64, bundle.fingerprint[:12], bundle.fingerprint.upper(), "..%2f"):
        answer = client.get(f"/v1/bundles/{name}")
        assert answer.status == 404
        assert answer.json()["detail"].endswith(f"this service has {bundle.fingerprint}")


@pytest.mark.parametrize("header", ['"{}"', 'W/"{}"', '"a", "{}"', '"a,b",W/"{}" ', "*", " * ", '"a","{}","b"'])
def test_a_device_that_has_it_gets_nothing(client: Client, bundle: Bundle, header: str) -> None:
    for path in paths(bundle):
        answer = client.get(path, {"if-none-match": header.format(bundle.fingerprint)})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == f'"{bundle.fingerprint}"'
        assert "content-length" not in answer.headers


def test_a_list_may_be_spread_over_headers(client: Client, bundle: Bundle) -> None:
    headers = [("if-none-match", '"a"'), ("if-none-match", f'"{bundle.fingerprint}"')]
    assert client.get("/v1/bundle", headers).status == 304


@pytest.mark.parametrize("header", ["", '"a"', "{}", '"{}', 'x"*"', '"{}0"', '"', '"*"'])
def test_a_device_that_has_another_gets_it(client: Client, bundle: Bundle, header: str) -> None:
    assert client.get("/v1/bundle", {"if-none-match": header.format(bundle.fingerprint)}).status == 200


def test_halves_that_are_no_pair_are_not_served(tmp_path: Path, sketch_folder: Path) -> None:
    other = tiny_bank()
    changed = type(other)(other.codes, other.counts, other.map_weight, other.map_bias, other.version + 1)
    bundle = tiny_bundle()
    write_export(tmp_path, type(bundle)(**{**vars(bundle), "bank": changed}), sketch_encoder())
    (tmp_path / CLOUD_FILE).write_bytes((sketch_folder / CLOUD_FILE).read_bytes())
    with pytest.raises(BundleError, match="are no pair") as caught:
        create_app(tmp_path)
    assert read_bundle(tmp_path).fingerprint[:12] in str(caught.value)


@pytest.mark.parametrize("missing", [CLOUD_FILE, DEVICE_FILE])
def test_half_a_bundle_is_not_served(tmp_path: Path, missing: str) -> None:
    write_export(tmp_path, tiny_bundle(), sketch_encoder())
    (tmp_path / missing).unlink()
    with pytest.raises(BundleError, match=missing):
        create_app(tmp_path)
