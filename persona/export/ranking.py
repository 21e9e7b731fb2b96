"""A frozen backbone with an edited head, and its adapter → a bundle that ranks items: graph, item vectors, encoder.

The device's graph: ``x`` (N, L) windows of item numbers as float32, and the head's three tensors; ``logits`` is the
query (N, d + side), ``moments`` the backbone's state (N, d). The adapter's graph: ``samples`` (B, S, 2), events as
(item, age in seconds), oldest first, and ``mask`` (B, S); it works out by itself what surprised the backbone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from persona.adapters.heads.adapter import HeadAdapter
from persona.adapters.heads.history import History, age_buckets
from persona.backbones.edited import CORE, SHIFT, SIDE, Broadcast, EditedHead
from persona.backbones.items import without_padding
from persona.bundle import Bundle, write_export
from persona.edit import Array
from persona.errors import ExportError
from persona.export.build import calibrate_jump
from persona.export.graph import to_onnx
from persona.files import write_whole
from persona.item_vectors import ITEMS_FILE, Stored, TextMap, pack_items, read_items
from persona.model.watching import in_eval_mode
from persona.prototypes.bank import make_bank
from persona.prototypes.local_map import fit_map
from persona.ranking import RankingSpec
from persona.sketch import Sketch, SketchSpec, TapSpec
from persona.tasks.recommendation.events import Positions
from persona.training.chunks import Chunks
from persona.training.event_features import EventFeatures

# Events to a window of the jump test, and windows behind it and the bank.
WINDOW, WINDOWS = 8, 1024


@dataclass(frozen=True)
class RankingOptions:
    """What a bundle has beside head and adapter.

    `broadcast` changes the table for everybody; `stored` says how item vectors are written; `texts` (I + 1, D) of the
    items, zeros where one has none, make the map by which newcomers are placed. `seed` of the dice.
    """

    prototypes: int = 16
    broadcast: Broadcast | None = None
    stored: Stored = "float32"
    texts: Array | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


def export_ranking(
    head: EditedHead,
    adapter: HeadAdapter,
    features: EventFeatures,
    positions: Positions,
    folder: Path,
    options: RankingOptions = RankingOptions(),
) -> Bundle:
    """Write a ranking bundle's three files to a folder, and return the bundle.

    The bank holds the centres of the codes of training queries. ExportError where no query has enough events before
    it, the adapter edits something else than the head, or a graph cannot be traced.
    """
    if adapter.form.spec != head.spec:
        raise ExportError(
            f"the adapter generates {', '.join(adapter.form.spec.names)}; devices edit {', '.join(head.spec.names)}"
        )
    rng = np.random.default_rng(options.seed)
    chosen = _chosen(features, positions, adapter.least, rng)
    sketch = SketchSpec.unscaled((TapSpec("state", head.d, 1),), 0)
    windows = [_pair(sketch, features.states, int(at)) for at in chosen]
    rows = np.stack([first.features(sketch) for first, _ in windows])
    folder.mkdir(parents=True, exist_ok=True)
    vectors, bias = (part.detach().cpu().numpy() for part in head.table(options.broadcast))
    text_map = None if options.texts is None else fit_text_map(options.texts, vectors, bias)
    write_whole(folder / ITEMS_FILE, pack_items(vectors, bias, options.stored, text_map))
    items = read_items(folder)
    bundle = Bundle(
        graph=query_graph(head),
        weights={tensor.name: np.zeros(tensor.shape, np.float32) for tensor in head.spec.tensors},
        decoder=adapter.decoder.to_numpy(),
        bank=make_bank(codes_of(adapter, features, chosen), rows, options.prototypes, rng),
        sketch=sketch,
        jump=calibrate_jump(sketch, windows),
        input_shape=(head.length,),
        context="samples",
        support=(adapter.least, adapter.reach),
        about=dict(options.about),
        ranking=RankingSpec(items.n_items, items.width, items.fingerprint),
    )
    return write_export(folder, bundle, history_graph(head, adapter))


@torch.no_grad()
def codes_of(adapter: HeadAdapter, features: EventFeatures, positions: Positions) -> Array:
    """Return codes (Q, 1, c) of the histories before sorted positions (Q,)."""
    adapter.eval()
    found = np.zeros((len(positions), *adapter.decoder.code_shape), np.float32)
    for chunk in Chunks(features, positions, adapter.reach).batches(64):
        at = np.searchsorted(positions, chunk.events)
        found[at, 0] = adapter.codes(chunk.history)[chunk.wanted].cpu().numpy()
    return found


def fit_text_map(texts: Array, vectors: Array, bias: Array) -> TextMap:
    """Return the ridge regression from texts (I + 1, D) to vectors (I + 1, w) and biases, over items that have one.

    ExportError where none has.
    """
    told = np.flatnonzero(texts[1:].any(axis=1)) + 1
    if not len(told):
        raise ExportError("no item has a text vector, so newcomers cannot be placed by theirs; leave the texts out")
    wanted = np.concatenate([vectors, bias[:, None]], axis=1)[told]
    return TextMap(*fit_map(texts[told], wanted[:, None]))


def query_graph(head: EditedHead) -> bytes:
    """Return the device's graph; ExportError where torch cannot trace the backbone."""
    windows = torch.zeros(2, head.length)
    weights = [torch.zeros(tensor.shape) for tensor in head.spec.tensors]
    shapes = {"x": {0: torch.export.Dim("N", min=1)}, "weights": [None] * len(weights)}
    with in_eval_mode(head):
        names = ["x", *head.spec.names]
        return to_onnx(_QueryGraph(head), (windows, weights), shapes, names, ["logits", "moments"])


def history_graph(head: EditedHead, adapter: HeadAdapter) -> bytes:
    """Return the adapter's graph, from events to codes (B, 1, c); ExportError where torch cannot trace it."""
    batch, support = torch.export.Dim("B", min=1), torch.export.Dim("S", min=1)
    shapes = {"samples": {0: batch, 1: support}, "mask": {0: batch, 1: support}}
    inputs = (torch.ones(2, 3, 2), torch.ones(2, 3))
    module = _HistoryCodes(head, adapter)
    with in_eval_mode(module):
        return to_onnx(module, inputs, shapes, ["samples", "mask"], ["codes"])


class _QueryGraph(nn.Module):
    """Windows and one set of head tensors → queries and states."""

    def __init__(self, head: EditedHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
        deltas = dict(zip(self.head.spec.names, weights, strict=True))
        states = self.head.state(x.round().long())
        moved = states @ self.head.right @ deltas[CORE].T @ self.head.left.T
        side = deltas[SIDE].expand(states.shape[0], -1)
        return torch.cat([states + moved + deltas[SHIFT], side], dim=1), states


class _HistoryCodes(nn.Module):
    """Events (B, S, 2), oldest first and padding behind them, with mask (B, S) → codes (B, 1, c)."""

    def __init__(self, head: EditedHead, adapter: HeadAdapter) -> None:
        super().__init__()
        self.head, self.adapter = head, adapter

    def forward(self, samples: Tensor, mask: Tensor) -> Tensor:
        items = (samples[..., 0] * mask).round().long()
        place = torch.arange(items.shape[1], device=items.device)
        distance = (mask.sum(dim=1, keepdim=True).long() - place) * (mask > 0)
        history = History(items, self._surprise(items), distance[:, None], age_buckets(samples[..., 1])[:, None])
        codes: Tensor = self.adapter.codes(history)
        return codes

    def _surprise(self, items: Tensor) -> Tensor:
        """Return each event's vector less the one that the backbone expected, what came before left out: (B, S, d)."""
        length, (vectors, bias) = self.head.length, self.head.backbone.table()
        place = torch.arange(items.shape[1], device=items.device)
        padded = nn.functional.pad(items, (length, 0))
        windows = padded[:, place[:, None] + torch.arange(length, device=items.device)]  # (B, S, L), before each event
        states = self.head.state(windows.flatten(0, 1)).unflatten(0, (items.shape[0], items.shape[1]))
        here = (items[..., None] == torch.arange(self.head.n_items + 1, device=items.device)).float()
        seen = here.cumsum(dim=1) - here
        scores = (states @ vectors.T + without_padding(bias)).masked_fill(seen > 0, -torch.inf)
        expected = scores.softmax(dim=2) @ vectors
        surprise: Tensor = (vectors[items] - expected) * (items > 0)[..., None]
        return surprise


def _chosen(features: EventFeatures, positions: Positions, least: int, rng: np.random.Generator) -> Positions:
    """Return up to `WINDOWS` of the positions that have enough events before them, and a window behind them."""
    log = features.log
    before = positions - log.offsets[log.users[positions]]
    behind = log.offsets[log.users[positions] + 1] - positions
    able = positions[(before >= max(least, WINDOW)) & (behind >= WINDOW)]
    if len(able) < 2:
        raise ExportError(
            f"{len(able)} of {len(positions)} training queries have {max(least, WINDOW)} events before them and "
            f"{WINDOW} behind; wanted at least 2: give longer histories, or an adapter that needs fewer events"
        )
    return able if len(able) <= WINDOWS else np.sort(rng.choice(able, WINDOWS, replace=False))


def _pair(sketch: SketchSpec, states: Tensor, at: int) -> tuple[Sketch, Sketch]:
    """Return the sketches of the windows before and behind a position."""
    first, second = (states[part].cpu().numpy() for part in (slice(at - WINDOW, at), slice(at, at + WINDOW)))
    return Sketch.of(sketch, first, first[:, :0]), Sketch.of(sketch, second, second[:, :0])
