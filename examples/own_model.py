"""Your own torch module, your own data: train an adapter, export a bundle, serve it, adapt a device.

The world: sensors of which half are wired backwards. A single reading hardly tells which; sixty-four do.
Run with ``python examples/own_model.py``.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from persona import read_bundle
from persona.adapters import PersonaAdapter, SketchEncoder
from persona.device import HttpCloud, Runtime, Unsigned
from persona.export import export_bundle
from persona.model import EditableModel
from persona.processes import ServiceProcess
from persona.tasks.grouped import GroupedEpisodes
from persona.training import AdapterConfig, Schedule, train_adapter, train_base


def readings(wiring: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return readings (count, 8) and labels of one sensor, whose wiring is 1 or −1."""
    x = rng.normal(size=(count, 8)).astype(np.float32)
    y = (wiring * x[:, 1:5].sum(axis=1) > 0).astype(np.int64)
    x[:, 0] += 0.3 * wiring  # the only trace of the wiring
    return x, y


def main() -> tuple[float, float]:
    """Return the accuracy on a sensor wired backwards, without and with its edit."""
    rng = np.random.default_rng(0)
    devices = {f"sensor-{i}": readings(1 - 2 * (i % 2), 400, rng) for i in range(40)}
    episodes = GroupedEpisodes(devices, tasks=16, support=64, query=32)

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))  # any module that returns logits (N, classes)
    train_base(net, episodes, Schedule(steps=100))
    model = EditableModel(net, editable=["2"], example=torch.zeros(2, 8))
    adapter = PersonaAdapter(model.spec, SketchEncoder(model.n_features), code=8)
    learner, _ = train_adapter(model, adapter, episodes, AdapterConfig(Schedule(steps=400, learning_rate=5e-3)))

    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder, "bundle")
        export_bundle(learner, episodes, bundle, prototypes=2)
        service = ServiceProcess(bundle, Path(folder, "service.log"))
        cloud = HttpCloud(service.url, trust=Unsigned())  # both ends are this process: nobody is in between
        with service, cloud, Runtime(read_bundle(bundle), cloud) as runtime:
            x, y = readings(-1, 400, rng)
            before = float((model(torch.from_numpy(x)).logits.argmax(dim=1).numpy() == y).mean())
            runtime.predict(x[:200])  # picks the nearest prototype, and asks in the background
            runtime.adapt()  # an app need not call this; here the answer is waited for
            after = float((runtime.predict(x[200:]).argmax(axis=1) == y[200:]).mean())
    return before, after


if __name__ == "__main__":
    print("accuracy without and with the edit: {:.2f} {:.2f}".format(*main()))
