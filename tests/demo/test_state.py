"""The command line's device goes on from its state folder, with and without a service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from persona.demo.device import DevicePlan, bundle_for, stream_device
from persona.device import Store
from persona.errors import CloudError
from tests.worlds import World

NOBODY = "http://127.0.0.1:9"


def test_a_device_starts_with_the_kept_bundle_where_the_service_is_absent(tmp_path: Path) -> None:
    bundle = World().bundle
    with Store(tmp_path) as store:
        with pytest.raises(CloudError, match=r"127\.0\.0\.1"):
            bundle_for(NOBODY, store)
        with pytest.raises(CloudError, match="name a service, or a state folder"):
            bundle_for(None, store)
        store.keep_bundle(bundle)
        for service in (NOBODY, None):
            assert bundle_for(service, store).fingerprint == bundle.fingerprint


def test_a_device_streams_offline_and_goes_on_where_it_was(tmp_path: Path) -> None:
    from persona.bench.device.bundles import untrained_bundle

    with Store(tmp_path / "state") as store:
        store.keep_bundle(untrained_bundle())
    plan = DevicePlan(None, tmp_path / "out.jsonl", windows_per_segment=1, state=tmp_path / "state")
    assert DevicePlan.from_json(plan.to_json()) == plan
    for _ in range(2):
        stream_device(plan)
        lines = [json.loads(line) for line in plan.out.read_text().splitlines()]
        assert lines[-2]["causal"]["in_force"].startswith("prototype")
        assert lines[-2]["causal"]["asks"] == 0
    with Store(tmp_path / "state") as store:
        bundle = store.bundle()
        assert bundle is not None
        assert store.edit(bundle) is not None
