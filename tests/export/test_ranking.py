"""A ranking bundle in torch and in onnxruntime: the same queries and codes, with padding and beside batch-mates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from persona.adapters.heads.adapter import HeadAdapter
from persona.adapters.heads.forms import EditForm
from persona.adapters.heads.readers import PoolingReader
from persona.backbones.edited import CORE, SHIFT, Broadcast, EditedHead, deltas_of
from persona.backbones.sasrec import SASRec
from persona.bundle import Bundle, read_bundle, read_cloud_half
from persona.device import Catalogue, DeviceModel, Recommender
from persona.encoder import Encoder
from persona.errors import ExportError
from persona.export.ranking import RankingOptions, codes_of, export_ranking, fit_text_map
from persona.item_vectors import read_items
from persona.tasks.recommendation.synthetic import WorldShape, make_world
from persona.training.event_features import EventFeatures
from persona.wire import AdaptRequest

LOG = make_world(WorldShape(users=20, items=40, events=30, interests=3), 0).log


@dataclass(frozen=True)
class Exported:
    head: EditedHead
    adapter: HeadAdapter
    features: EventFeatures
    bundle: Bundle
    folder: Path
    change: Broadcast


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Nets with weights that are nowhere at rest."""
    torch.manual_seed(0)
    head = EditedHead(SASRec(LOG.n_items, d=8, length=5), rank=2, side=3)
    adapter = HeadAdapter(PoolingReader(head.backbone.table()[0], reach=20), EditForm(head), code=4, least=3)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    features = EventFeatures.of(head, LOG)
    change = Broadcast(torch.randn(LOG.n_items + 1), torch.randn(LOG.n_items + 1, 8))
    folder = tmp_path_factory.mktemp("ranking")
    options = RankingOptions(prototypes=4, broadcast=change, about={"task": "drift world"})
    bundle = export_ranking(head, adapter.eval(), features, np.arange(len(LOG)), folder, options)
    return Exported(head, adapter, features, bundle, folder, change)


def test_queries_are_those_of_torch(exported: Exported) -> None:
    model = DeviceModel(exported.bundle)
    windows = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 7], [0, 0, 3, 40, 7], [1, 2, 3, 4, 5]], np.int32)
    for code in (None, *exported.bundle.bank.codes):
        edit = None if code is None else exported.bundle.decoder.decode(code)
        found, states = model.run(windows.astype(np.float32), model.weights(edit))
        with torch.no_grad():
            wanted = exported.head(torch.from_numpy(windows), {} if edit is None else deltas_of(edit))
            whole = exported.head.state(torch.from_numpy(windows))
        assert np.allclose(found, wanted.numpy(), atol=1e-5)
        assert np.allclose(states, whole.numpy(), atol=1e-5)


def test_codes_are_those_of_training(exported: Exported) -> None:
    """What was worked out over a whole log equals what the service makes of the events of a request."""
    encoder = Encoder(read_cloud_half(exported.folder), exported.bundle)
    positions = np.flatnonzero(np.arange(len(LOG)) - LOG.offsets[LOG.users] <= 20)[3::7]
    positions = positions[positions - LOG.offsets[LOG.users[positions]] >= 3]
    assert LOG.times is not None
    accepted = []
    for at in positions:
        first = LOG.offsets[LOG.users[at]]
        events = np.stack([LOG.items[first:at], LOG.times[at] - LOG.times[first:at]], axis=1).astype(np.int32)
        accepted.append(encoder.accept(AdaptRequest(exported.bundle.fingerprint, "samples", events, len(events))))
    codes = encoder.codes(accepted)
    assert np.allclose(codes, codes_of(exported.adapter, exported.features, positions), atol=1e-4)
    assert np.ptp(codes, axis=0).max() > 0.1, "every history has the same code, so this shows nothing"


def test_scores_are_those_of_torch(exported: Exported) -> None:
    device = Recommender(read_bundle(exported.folder), Catalogue(read_items(exported.folder)))
    edit = exported.bundle.decoder.decode(exported.bundle.bank.codes[0])
    device.put(edit)
    with torch.no_grad():
        query = exported.head(torch.tensor([[0, 0, 3, 40, 7]]), deltas_of(edit))
        scores = exported.head.scores(query, exported.change)[0]
    wanted = scores.clone()
    wanted[[3, 40, 7]] = -torch.inf
    found = device.top_k([3, 40, 7], 5)
    assert found.items.tolist() == wanted.topk(5).indices.tolist()
    assert np.allclose(found.scores, wanted.topk(5).values, atol=1e-4)
    assert np.allclose(device.score([3, 40, 7], [1, 7]), scores[[1, 7]], atol=1e-4)


def test_what_the_bundle_says(exported: Exported) -> None:
    bundle = exported.bundle
    assert (bundle.context, bundle.support, bundle.input_shape, bundle.sample_shape) == ("samples", (3, 20), (5,), (2,))
    assert bundle.ranking is not None
    assert (bundle.ranking.items, bundle.ranking.width) == (40, 11)
    assert len(bundle.bank) == 4
    assert bundle.about == {"task": "drift world"}


def test_an_adapter_of_something_else_is_refused(exported: Exported, tmp_path: Path) -> None:
    part = HeadAdapter(exported.adapter.reader, EditForm(exported.head, (SHIFT, CORE)), code=4)
    with pytest.raises(ExportError, match=r"devices edit head\.shift, head\.core, head\.side"):
        export_ranking(exported.head, part, exported.features, np.arange(len(LOG)), tmp_path)
    with pytest.raises(ExportError, match="wanted at least 2"):
        export_ranking(exported.head, exported.adapter, exported.features, np.arange(3), tmp_path)


def test_newcomers_by_their_texts() -> None:
    """Where vectors are a linear map of texts, a newcomer's is found."""
    rng = np.random.default_rng(0)
    texts = rng.normal(size=(2001, 4)).astype(np.float32)
    texts[0] = texts[5] = 0
    truth = rng.normal(size=(4, 3)).astype(np.float32)
    made = texts @ truth
    found = fit_text_map(texts, made[:, :2], made[:, 2])
    assert found.weight.shape == (4, 3)
    correlation = np.corrcoef((texts @ found.weight + found.shift).ravel(), made.ravel())[0, 1]
    assert correlation > 0.99
    with pytest.raises(ExportError, match="no item has a text"):
        fit_text_map(np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float32), np.zeros(3, np.float32))
