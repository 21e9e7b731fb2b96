"""From a learner to a bundle on disk: it adapts as torch does, its jump test is calibrated, nothing is half-written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from persona.adapters import BothEncoder, PersonaAdapter
from persona.bundle import read_bundle, read_cloud_half
from persona.device import DeviceModel
from persona.errors import BundleError, ExportError, SpecError
from persona.export import export_bundle
from persona.export.build import calibrate_jump, collect_windows, sketch_spec
from persona.export.graph import model_graph
from persona.model import EditableModel
from persona.sketch import Sketch
from persona.training.centres import Centres
from persona.training.step import Learner
from tests.training.known import Angles

WORLD = Angles(angles=4)


@pytest.fixture(scope="module")
def learner() -> Learner:
    """Return an untrained learner whose edits are not zero."""
    model = WORLD.model()
    adapter = WORLD.adapter(model)
    dice = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.decoder.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=dice))
    model.eval()
    return Learner(model, adapter, torch.zeros(model.n_features), torch.ones(model.n_features), Centres(4))


def test_the_bundle_and_its_encoder_give_the_edits_and_logits_of_torch(learner: Learner, tmp_path: Path) -> None:
    export_bundle(learner, WORLD, tmp_path, prototypes=4)
    bundle, half = read_bundle(tmp_path), read_cloud_half(tmp_path)
    assert half.bundle_fingerprint == bundle.fingerprint
    assert (bundle.renorm, bundle.gate, bundle.prior) == (None, None, None)
    support = torch.from_numpy(WORLD.sample(np.random.default_rng(9)).support)
    device = DeviceModel(bundle)
    encoder = onnxruntime.InferenceSession(half.encoder)
    with torch.no_grad():
        codes = learner.see(support).codes
        edited = learner.model(support.flatten(0, 1), learner.adapter.decoder(codes)).logits.unflatten(0, (16, 24))
    for row, (x, wanted) in enumerate(zip(support.numpy(), edited, strict=True)):
        logits, moments = device.run(x, device.weights(None))
        features = Sketch.of(bundle.sketch, moments, logits).features(bundle.sketch)
        code = encoder.run(["codes"], {"features": features[None]})[0][0]
        np.testing.assert_allclose(code, codes[row], atol=1e-4)
        under_edit, _ = device.run(x, device.weights(bundle.decoder.decode(code)))
        np.testing.assert_allclose(under_edit, wanted, atol=1e-3)


def test_false_alarms_within_a_domain_are_five_percent(learner: Learner) -> None:
    spec = sketch_spec(learner)
    _, windows = collect_windows(learner, spec, _Still(), np.random.default_rng(0), 400)
    jump = calibrate_jump(spec, windows)
    alarms = np.mean([jump.jumped(spec, a, b) for a, b in windows])
    assert alarms == pytest.approx(0.05, abs=0.01)
    assert jump.window == 24


class _Still(Angles):
    """Episodes whose support and query are of one distribution: the support's offset is left out."""

    def sample(self, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        batch = super().sample(rng)
        batch.support[..., 2:] -= batch.support[..., 2:].mean(axis=1, keepdims=True)
        return batch


def test_sizes_that_no_device_could_use_are_refused(learner: Learner, tmp_path: Path) -> None:
    world = Angles(shape=(1, 2, 2), support=24)
    model = world.model()
    pictures = Learner(
        model, world.adapter(model), torch.zeros(model.n_features), torch.ones(model.n_features), Centres(4)
    )
    bundle = export_bundle(pictures, world, tmp_path / "small", prototypes=2)
    assert bundle.context == "samples"
    with pytest.raises(BundleError, match="fewer support samples"):
        replace(bundle, input_shape=(3, 1024, 1024))
    with pytest.raises(BundleError, match="1 to 4096"):
        replace(bundle, support=(1, 10**13))  # or a device would reserve memory for them
    with pytest.raises(SpecError, match="up to 4096"):
        replace(bundle.jump, window=10**9)  # or no jump would ever be noticed


def test_an_adapter_that_reads_more_than_a_device_sends_is_refused(learner: Learner, tmp_path: Path) -> None:
    adapter = PersonaAdapter(learner.model.spec, BothEncoder(learner.model.n_features))
    with pytest.raises(ExportError, match="reads both is not exported yet: devices send one of sketch, samples"):
        export_bundle(replace(learner, adapter=adapter), WORLD, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["a file in the way", "a full disk"])
def test_an_export_that_cannot_be_written_leaves_nothing(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = tmp_path / "bundle"
    if where == "a file in the way":
        folder.write_text("not a folder")
    else:

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExportError, match="cannot be written"):
        export_bundle(learner, WORLD, folder, prototypes=2)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == (["bundle"] if where == "a file in the way" else [])


def test_a_model_of_whole_numbers_is_refused_with_advice(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    model = EditableModel(net, ["2"], torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ExportError, match="float32"):
        model_graph(model)
