"""The command line's device goes on from its state folder, with and without a service, signed or not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from persona.bundle import DEVICE_FILE, Bundle
from persona.demo.device import DevicePlan, stream_device
from persona.demo.starting import bundle_for, trust_for
from persona.device import Store, Unsigned
from persona.errors import CloudError, DataError, PersonaError, TrustError
from tests.device.servers import Asked, Told, http_service
from tests.signed import Owner, Shelf
from tests.worlds import World

NOBODY = "http://127.0.0.1:9"
OWNER = Owner()
WORLDS = World().bundle, replace(World(support=(8, 16)).bundle, fingerprint="")


class Releases:
    """A service that offers what was published last, or what it is set to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root.json"
        self.files: dict[str, bytes] = {}
        self.bundles: dict[str, bytes] = {}

    def publish(self, bundle: Bundle) -> str:
        self.files = Shelf.of(OWNER.publish(self.folder, bundle, now_s=time.time())).files
        self.root.write_bytes(self.files["1.root.json"])
        data = (self.folder / DEVICE_FILE).read_bytes()
        fingerprint = Bundle.from_bytes(data).fingerprint
        self.bundles[fingerprint] = data
        return fingerprint

    def answer(self, asked: Asked) -> Told:
        name = asked.path.rpartition("/")[2]
        found = self.files.get(name) or self.bundles.get(name)
        return Told(404) if found is None else Told(body=found)


@contextmanager
def releases(folder: Path) -> Iterator[tuple[str, Releases]]:
    service = Releases(folder)
    with http_service(service.answer) as url:
        yield url, service


def started(url: str, service: Releases, state: Path) -> str:
    """Return the bundle that a device starts with, as `persona device --state FOLDER --root FILE` does."""
    with Store(state) as store:
        bundle = bundle_for(url, store, trust_for(service.root, store))
        store.keep_bundle(bundle)
        return bundle.fingerprint


def test_a_device_starts_with_the_kept_bundle_where_the_service_is_absent(tmp_path: Path) -> None:
    bundle = World().bundle
    with Store(tmp_path) as store:
        with pytest.raises(CloudError, match=r"127\.0\.0\.1"):
            bundle_for(NOBODY, store, Unsigned())
        with pytest.raises(CloudError, match="name a service, or a state folder"):
            bundle_for(None, store, None)
        store.keep_bundle(bundle)
        assert bundle_for(NOBODY, store, Unsigned()).fingerprint == bundle.fingerprint
        assert bundle_for(None, store, None).fingerprint == bundle.fingerprint


def test_a_service_that_rolls_back_after_a_restart_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    with releases(tmp_path / "service") as (url, service):
        first = service.publish(WORLDS[0])
        assert started(url, service, state) == first
        old = service.files
        second = service.publish(WORLDS[1])
        assert started(url, service, state) == second
        service.files = old
        assert started(url, service, state) == second
        assert "rolled back" in caplog.text
        assert started(url, service, tmp_path / "fresh") == first, "which is what the state folder prevents"


def test_an_unsigned_bundle_of_earlier_does_not_count_where_a_root_is_asked_for(tmp_path: Path) -> None:
    with releases(tmp_path / "service") as (url, service), Store(tmp_path / "state") as store:
        service.publish(WORLDS[0])
        store.keep_bundle(WORLDS[1] if WORLDS[1].fingerprint else Bundle.from_bytes(WORLDS[1].to_bytes()))
        service.files = {}
        with pytest.raises(TrustError):
            bundle_for(url, store, trust_for(service.root, store))


def test_an_unsigned_run_between_signed_ones_is_not_believed(tmp_path: Path) -> None:
    with releases(tmp_path / "service") as (url, service):
        first = service.publish(WORLDS[0])
        with Store(tmp_path / "state") as store:
            store.keep_bundle(Bundle.from_bytes(WORLDS[1].to_bytes()))  # anybody's
            bundles, service.bundles = service.bundles, {}
            for _ in range(2):  # versions are kept by the first try, the bundle's download fails in both
                with pytest.raises(PersonaError):
                    bundle_for(url, store, trust_for(service.root, store))
            assert store.trusted() is not None
            service.bundles = bundles
            assert bundle_for(url, store, trust_for(service.root, store)).fingerprint == first
            store.keep_bundle(Bundle.from_bytes(WORLDS[1].to_bytes()))  # and again, over the signed one
            service.files = service.bundles = {}
            with pytest.raises(PersonaError):
                bundle_for(url, store, trust_for(service.root, store))


def test_signatures_can_vouch_later_for_a_bundle_that_is_kept(tmp_path: Path) -> None:
    true = World().bundle
    with Store(tmp_path) as store:
        store.keep_bundle(true)
        store.keep_bank(replace(true.bank, version=9), true.fingerprint)  # anybody's
        assert store.vouched_bundle() is None
        store.keep_bundle(true, vouched=True)
        vouched = store.vouched_bundle()
        assert vouched is not None
        assert vouched.bank.version == true.bank.version


def test_a_folder_of_another_root_is_an_error(tmp_path: Path) -> None:
    with releases(tmp_path / "service") as (url, service):
        service.publish(WORLDS[0])
        started(url, service, tmp_path / "state")
        service.root.write_bytes(Owner(roots=[OWNER.freshness]).root())
        with pytest.raises(TrustError, match="another root"):
            started(url, service, tmp_path / "state")


def lines_of(plan: DevicePlan) -> list[dict[str, object]]:
    stream_device(plan)
    return [json.loads(line) for line in plan.out.read_text().splitlines()]


@pytest.fixture(scope="module")
def untrained() -> Bundle:
    from persona.bench.device.bundles import untrained_bundle

    return untrained_bundle()


def test_a_device_streams_offline_from_what_it_kept(tmp_path: Path, untrained: Bundle) -> None:
    with Store(tmp_path / "state") as store:
        store.keep_bundle(untrained)
    plan = DevicePlan(None, tmp_path / "out.jsonl", windows_per_segment=1, state=tmp_path / "state")
    assert DevicePlan.from_json(plan.to_json()) == plan
    for _ in range(2):
        causal = lines_of(plan)[-2]["causal"]
        assert isinstance(causal, dict)
        assert causal["in_force"].startswith("prototype")
        assert causal["asks"] == 0
    with pytest.raises(DataError, match="needs a cloud"):
        stream_device(replace(plan, placement="split"))


def test_a_signed_device_streams_and_goes_on_without_its_service(tmp_path: Path, untrained: Bundle) -> None:
    plan = DevicePlan(NOBODY, tmp_path / "out.jsonl", windows_per_segment=1, state=tmp_path / "state")
    with releases(tmp_path / "service") as (url, service):
        wanted = service.publish(untrained)
        plan = replace(plan, service=url, root=service.root)
        assert len(lines_of(plan)) == 5
    for service_url in (url, None):
        assert len(lines_of(replace(plan, service=service_url))) == 5
    with Store(plan.state or tmp_path) as store:
        bundle = store.bundle()
        assert bundle is not None
        assert bundle.fingerprint == wanted
        assert store.trusted() is not None
