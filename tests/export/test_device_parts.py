"""A trained learner with renormalisation, gate and prior term on the device, against the benchmark's reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from persona.bench.vision.ours import Kit, Persona
from persona.bench.vision.ours import Options as Row
from persona.bundle import Bundle, read_bundle
from persona.device import OnJump, Runtime
from persona.device import Options as DeviceOptions
from persona.device.local_part import LocalPart
from persona.device.model import DeviceModel
from persona.edit import Array
from persona.export import Options, export_bundle
from persona.export.build import WINDOWS, collect_windows, sketch_spec
from persona.gate import SketchGate
from persona.model import EditableModel
from persona.prior import PriorNet
from persona.sketch import Sketch
from persona.training.loop import AdapterConfig, Schedule, train_adapter
from persona.training.prior import collect_prior_episodes, train_prior
from persona.training.step import Learner, LossWeights
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Inline, LocalCloud
from tests.training.known import Angles

WORLD = Angles(angles=4)


@dataclass(frozen=True)
class Trained:
    """A learner, its prior term, and the bundle as read from the folder that export wrote."""

    learner: Learner
    prior: PriorNet
    bundle: Bundle

    @property
    def kit(self) -> Kit:
        """What the reference holds."""
        bundle = self.bundle
        assert bundle.gate is not None
        return Kit(self.learner, bundle.sketch, bundle.jump, bundle.bank, self.prior, bundle.gate, bundle.mixture)

    def cloud(self, met: list[Array]) -> LocalCloud:
        """Return a cloud that answers with the very code of the reference for the last of some windows."""

        def answer(request: AdaptRequest) -> AdaptReply:
            with torch.no_grad():
                code = self.learner.see(torch.from_numpy(met[-1])[None]).codes[0].numpy()
            bank = self.bundle.bank
            prototype = int(bank.assign(code)[0])
            residual = bank.residual(code, prototype)
            return AdaptReply(request.fingerprint, prototype, bank.version, 0, residual, "float32")

        return LocalCloud(answer)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 12, 1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 1),
        nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    for seed in range(20):  # lived-in statistics
        net(torch.from_numpy(WORLD.sample(np.random.default_rng(seed)).support).flatten(0, 1))
    model = EditableModel(net, ["2", "5", "8", "11"], torch.zeros(2, 4))
    config = AdapterConfig(Schedule(60, 5e-3), renorm=True, weights=LossWeights(partial_share=0.2))
    learner, _ = train_adapter(model, WORLD.adapter(model), WORLD, config)
    learner.model.eval()
    prior = train_prior(collect_prior_episodes(learner, (WORLD,), 128, np.random.default_rng(1)), 0, steps=100)
    folder = tmp_path_factory.mktemp("bundle")
    export_bundle(learner, WORLD, folder, prototypes=4, options=Options(prior=prior))
    return Trained(learner, prior, read_bundle(folder))


def windows() -> list[Array]:
    """Return windows of four domains, two in a row of each, more and more unlike those of training."""
    rng = np.random.default_rng(5)
    supports = WORLD.sample(rng).support
    found = []
    for episode, stretch in ((0, 1.0), (1, 1.25), (2, 1.5), (3, 4.0)):
        found += [stretch * supports[episode, :24], stretch * supports[episode, ::-1] + np.float32(0.01)]
    return [np.ascontiguousarray(x, np.float32) for x in found]


def test_the_exported_parts_are_the_learners(trained: Trained) -> None:
    bundle, learner = trained.bundle, trained.learner
    assert learner.renorm is not None
    assert bundle.renorm is not None
    assert [layer.name for layer in bundle.renorm.layers] == ["2", "5", "8"]
    strengths = learner.renorm.logits.detach().sigmoid().numpy()
    np.testing.assert_allclose([layer.strength for layer in bundle.renorm.layers], strengths, atol=1e-6)
    spec = sketch_spec(learner)
    _, pairs = collect_windows(learner, spec, WORLD, np.random.default_rng(0), WINDOWS)
    features = np.stack([first.features(spec) for first, _ in pairs])
    gate = SketchGate.fit(features, 0.8, 0.98)
    assert bundle.gate is not None
    assert bundle.prior is not None
    weights = [gate.weight(row) for row in features[:100]]
    np.testing.assert_allclose([bundle.gate.weight(row) for row in features[:100]], weights, atol=1e-5)
    assert 0.7 < np.mean(np.array(weights) == 1) < 0.95
    for name, array in trained.prior.to_arrays().items():
        np.testing.assert_array_equal(bundle.prior.arrays[name], array)


@pytest.mark.parametrize("prior", [True, False])
def test_windows_adapted_to_and_predicted_are_as_in_the_reference(trained: Trained, prior: bool) -> None:
    met: list[Array] = []
    reference = Persona(trained.kit, Row(prior=prior, memory=1))
    options = DeviceOptions(prior=prior, guard=False)  # the reference has none
    runtime = Runtime(trained.bundle, trained.cloud(met), OnJump(), executor=Inline(), options=options)
    strengths = []
    for x in windows():
        met.append(x)
        runtime.observe(x)
        assert runtime.adapt().reason == ""
        wanted = reference.step(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(runtime.predict(x), wanted, atol=1e-4, rtol=1e-4)
        strengths.append(trained.kit.gate.weight(runtime._present.sketch().features(trained.bundle.sketch)))
    assert any(0.1 < strength < 0.9 for strength in strengths), strengths
    assert (min(strengths), max(strengths)) == (0.0, 1.0)


def test_after_a_jump_the_device_answers_as_the_reference(trained: Trained) -> None:
    first, _, second, *_ = windows()
    reference, runtime = Persona(trained.kit, Row(memory=1)), Runtime(trained.bundle)
    reference.step(torch.from_numpy(first))
    runtime.observe(first)
    wanted = reference.answer(torch.from_numpy(second)).numpy()
    np.testing.assert_allclose(runtime.predict(second), wanted, atol=1e-4, rtol=1e-4)
    assert runtime.status().jumps == 1


def test_a_window_of_several_domains_is_answered_by_the_base_model(trained: Trained) -> None:
    """As in the reference, and as if there were no adapter."""
    episodes = WORLD.sample(np.random.default_rng(9)).support
    x = np.ascontiguousarray(episodes.reshape(-1, episodes.shape[-1])[:: len(episodes)][:24])
    met, runtime = [x], None
    assert trained.bundle.mixture is not None
    options = DeviceOptions(prior=False, guard=False)
    runtime = Runtime(trained.bundle, trained.cloud(met), OnJump(), executor=Inline(), options=options)
    runtime.observe(x)
    assert runtime.adapt().reason == ""
    with torch.no_grad():
        wanted = trained.learner.model(torch.from_numpy(x)).logits.numpy()
    reference = Persona(trained.kit, Row(prior=False, memory=1)).step(torch.from_numpy(x)).numpy()
    found = runtime.predict(x)
    np.testing.assert_allclose(found, reference, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=1e-4)
    without = Persona(trained.kit, Row(prior=False, memory=1, unmixed=False)).step(torch.from_numpy(x)).numpy()
    assert np.abs(without - wanted).max() > 1e-2


def test_every_pass_of_settling_is_needed(trained: Trained) -> None:
    """Or the agreement above would not tell statistics under the edit from those of the pass before it."""
    x, bundle = windows()[2], trained.bundle
    model, part = DeviceModel(bundle), LocalPart(bundle)
    codes = torch.from_numpy(bundle.bank.codes[:1])
    edit, weights = bundle.decoder.decode(bundle.bank.codes[0]), None
    with torch.no_grad():
        wanted = trained.learner.run(torch.from_numpy(x), trained.learner.learned(codes)).logits.numpy()
    off = []
    for _ in range(4):
        logits, moments = model.run(x, weights or model.weights(edit))
        off.append(float(np.abs(logits - wanted).max()))
        weights = model.weights(edit, part.settled(Sketch.of(bundle.sketch, moments, logits), edit.deltas))
    assert min(off[:3]) > 1e-3, off
    assert off[3] < 1e-4, off


def test_the_parts_change_what_is_answered(trained: Trained) -> None:
    """Or the agreement above would say nothing: each part left out of the reference moves its logits."""
    x: Tensor = torch.from_numpy(windows()[2])
    whole = Persona(trained.kit, Row(memory=1)).step(x)
    for row in (Row(prior=False), Row(local=False), Row(gated=False), Row(learned=False)):
        assert (Persona(trained.kit, row).step(x) - whole).abs().max() > 1e-3, row
