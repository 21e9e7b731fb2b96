"""Where the adapter runs: three placements behind one option, the same edit, and no combination that cannot work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from persona.bundle import Bundle, write_export
from persona.device import HttpCloud, Options, OwnAdapter, Placement, Runtime
from persona.device.policies import Policy
from persona.errors import DataError
from persona.processes import ServiceProcess
from persona.trust import Unsigned
from tests.device.devices import Inline, LocalCloud
from tests.worlds import World, accuracy

WORLD = World()


def offline(world: World) -> Bundle:
    return Bundle.from_bytes(replace(world.bundle, encoder=world.encoder).to_bytes())


class Never:
    def should_ask(self, seen: object) -> bool:
        return False


NEVER: Policy = Never()


@pytest.fixture(scope="module", params=["sketch", "samples"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    world = World(request.param)
    folder = tmp_path_factory.mktemp("placed")
    write_export(folder, offline(world), world.encoder)
    with ServiceProcess(folder, folder / "service.log") as process:
        yield world, process.url


def test_the_placements_give_the_same_edit_through_a_real_service(service: tuple[World, str]) -> None:
    world, url = service
    bundle = offline(world)
    placements: list[Placement] = ["cloud", "device"] if world.context == "samples" else ["cloud", "split", "device"]
    rng = np.random.default_rng(0)
    windows = [world.sample(d, 32, rng, t)[0] for d, t in ((1, 0.3), (-1, -0.2), (-1, 0.1))]
    later = world.sample(-1, 64, rng)[0]
    found: dict[str, list[np.ndarray]] = {}
    for placement in placements:
        with HttpCloud(url, 30.0, trust=Unsigned()) as cloud:
            given = None if placement == "device" else cloud
            runtime = Runtime(bundle, given, NEVER, options=Options(placement=placement))
            found[placement] = []
            for x in windows:
                runtime.observe(x)
                status = runtime.adapt()
                assert (status.reason, status.rung, status.placement) == ("", "answer", placement)
                found[placement].append(runtime.predict(later))
                assert (status.bytes_up == 0) == (placement == "device")
    for placement in placements[1:]:
        np.testing.assert_array_equal(found[placement], found["cloud"])


def test_what_goes_up_is_what_the_placement_says() -> None:
    x = WORLD.sample(1, 32, np.random.default_rng(0))[0]
    for placement, context, bytes_up in (("cloud", "samples", 24 + 32 * 16), ("split", "sketch", 20 + 20)):
        requests = []

        def answer(request: object, seen: list[object] = requests) -> object:
            seen.append(request)
            return OwnAdapter(offline(WORLD)).adapt(request, (1, 2))  # type: ignore[arg-type]

        cloud = LocalCloud(answer)  # type: ignore[arg-type]
        runtime = Runtime(offline(WORLD), cloud, NEVER, options=Options(placement=placement))  # type: ignore[arg-type]
        runtime.predict(x)
        assert runtime.adapt().bytes_up == bytes_up
        assert [request.context for request in cloud.requests] == [context]


def test_a_bundle_with_its_encoder_adapts_without_any_network() -> None:
    rng = np.random.default_rng(0)
    runtime = Runtime(offline(WORLD), executor=Inline())
    for domain, threshold in ((1, 0.4), (-1, -0.4)):
        for _ in range(2):
            x, y = WORLD.sample(domain, 32, rng, threshold)
            score = accuracy(runtime.predict(x), y)
        assert score == 1.0
    status = runtime.status()
    assert (status.rung, status.placement, status.bytes_up, status.bytes_down) == ("answer", "device", 0, 0)


@pytest.mark.parametrize(
    ("context", "has_cloud", "has_encoder", "placement", "complaint"),
    [
        ("sketch", False, True, "cloud", "needs a cloud"),
        ("sketch", False, True, "split", "needs a cloud"),
        ("sketch", True, True, "device", "asks nobody"),
        ("sketch", False, False, "device", "--offline"),
        ("samples", True, True, "split", "reads samples: choose 'cloud'"),
        ("sketch", True, True, "moon", "wanted one of cloud, split, device"),
    ],
)
def test_a_placement_that_cannot_work_is_refused(
    context: str, has_cloud: bool, has_encoder: bool, placement: Placement, complaint: str
) -> None:
    world = World(context)
    cloud = LocalCloud(world.answer) if has_cloud else None
    with pytest.raises(DataError, match=complaint):
        Runtime(offline(world) if has_encoder else world.bundle, cloud, options=Options(placement=placement))


def test_samples_too_large_to_send_are_refused_at_the_start() -> None:
    world = World(channels=1024, support=(8, 4096))
    with pytest.raises(DataError, match="choose 'split'"):
        Runtime(world.bundle, LocalCloud(world.answer), options=Options(placement="cloud"))


def test_without_onnxruntime_an_offline_bundle_lives_on_its_prototypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    runtime = Runtime(offline(WORLD), options=Options(runs_on="numpy"))
    x, _ = WORLD.sample(1, 32, np.random.default_rng(0), 0.3)
    runtime.predict(x)
    assert runtime.adapt().in_force == "prototype 0"
    with pytest.raises(DataError, match="onnxruntime, which is not installed"):
        Runtime(offline(WORLD), options=Options(placement="device", runs_on="numpy"))


def test_an_unknown_runner_is_refused_at_the_border() -> None:
    with pytest.raises(DataError, match="runs_on is 'tpu'"):
        Options(runs_on="tpu")  # type: ignore[arg-type]
