"""A catalogue whose answer is known by hand: the next item is the one after the last, and an edit prefers a parity.

Items 1..I stand in a ring. The state after item i is the unit vector of its successor, of an empty window 0. Item
vectors are unit vectors, so the base ranks the successor first and the rest alike, by their biases. Beside them each
item has one number on the side, +1 where it is even and -1 where it is odd; an edit's `head.side` is multiplied with
it. The adapter reads events: its code is the mean parity of their items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from onnx import helper

from persona.bank import Bank
from persona.bundle import Bundle
from persona.decoder import Decoder, DensePart
from persona.device.ranking import Catalogue
from persona.edit import Array, Edit
from persona.item_vectors import ITEMS_FILE, Stored, TextMap, pack_items, read_items
from persona.jump import JumpSpec
from persona.ranking import RankingSpec
from persona.sketch import SketchSpec, TapSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from persona.wire import AdaptReply, AdaptRequest
from tests.worlds import onnx_bytes

LENGTH, RANK, SIDE_BOUND = 3, 2, 3.0


@dataclass(frozen=True)
class Ring:
    """The world, in a folder that holds its file of items. Text vectors of items are their item vectors."""

    folder: Path
    items: int = 6
    stored: Stored = "float32"
    with_texts: bool = True

    @cached_property
    def vectors(self) -> Array:
        """(I + 1, I + 1): unit vectors, and parity on the side."""
        numbers = np.arange(self.items + 1)
        table = np.zeros((self.items + 1, self.items + 1), np.float32)
        table[numbers[1:], numbers[1:] - 1] = 1
        table[1:, -1] = np.where(numbers[1:] % 2 == 0, 1, -1)
        return table

    @cached_property
    def bias(self) -> Array:
        """(I + 1,): later items are liked a little less, so that nothing is tied."""
        return np.asarray(-np.arange(self.items + 1) / 64, np.float32)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue, mapped from its file."""
        text_map = TextMap(
            np.eye(self.items + 1, self.items + 2, dtype=np.float32), np.zeros(self.items + 2, np.float32)
        )
        data = pack_items(self.vectors, self.bias, self.stored, text_map if self.with_texts else None)
        (self.folder / ITEMS_FILE).write_bytes(data)
        return Catalogue(read_items(self.folder))

    @cached_property
    def spec(self) -> ModelSpec:
        """The head."""
        shapes = {"head.shift": (self.items,), "head.core": (RANK, RANK), "head.side": (1,)}
        tensors = tuple(TensorSpec(name, shape, SIDE_BOUND) for name, shape in shapes.items())
        return ModelSpec((LayerSpec("head", "linear", tensors),))

    @cached_property
    def decoder(self) -> Decoder:
        """The side follows the code's first number; nothing else moves."""
        parts = {
            t.name: DensePart(np.zeros((2, t.size), np.float32), np.zeros(t.size, np.float32))
            for t in self.spec.tensors
        }
        parts["head.side"].weight[0] = 1
        return Decoder(self.spec, parts, (1, 2))

    @cached_property
    def bundle(self) -> Bundle:
        """The device's half, as read from its file."""
        bundle = Bundle(
            graph=ring_graph(self.items),
            weights={t.name: np.zeros(t.shape, np.float32) for t in self.spec.tensors},
            decoder=self.decoder,
            bank=Bank(
                np.array([[[0.5, 0]], [[-0.5, 0]]], np.float32),
                np.array([1, 1]),
                np.zeros((self.items, 2), np.float32),
                np.zeros(2, np.float32),
                1,
            ),
            sketch=SketchSpec.unscaled((TapSpec("state", self.items, 1),), 0),
            jump=JumpSpec(np.ones(self.items, np.float32), 3.0, 8),
            input_shape=(LENGTH,),
            context="samples",
            support=(2, 8),
            ranking=RankingSpec(self.items, self.items + 1, self.catalogue.fingerprint),
        )
        return Bundle.from_bytes(bundle.to_bytes())

    def edit(self, side: float) -> Edit:
        """Return the edit that likes even items by so much, odd ones where it is negative."""
        deltas = {t.name: np.zeros(t.shape, np.float32) for t in self.spec.tensors}
        return Edit({**deltas, "head.side": np.asarray([side], np.float32)})

    def query(self, last: int, side: float = 0.0) -> Array:
        """Return the query (1, I + 1) after an item, 0 for an empty history."""
        query = np.zeros((1, self.items + 1), np.float32)
        if last:
            query[0, last % self.items] = 1
        query[0, -1] = side
        return query

    def answer(self, request: AdaptRequest) -> AdaptReply:
        """Return what the adapter answers."""
        items = np.asarray(request.values, np.float32)[:, 0]
        code = np.array([[np.mean(1 - 2 * (items % 2)), 0]], np.float32)
        prototype = int(self.bundle.bank.assign(code)[0])
        return AdaptReply(request.fingerprint, prototype, 1, 0, self.bundle.bank.residual(code, prototype), "float32")

    @cached_property
    def encoder(self) -> bytes:
        """The adapter as a graph."""
        nodes = [
            helper.make_node("Gather", ["samples", "first"], ["items"], axis=2),
            helper.make_node("Mod", ["items", "two"], ["odd"], fmod=1),
            helper.make_node("Mul", ["odd", "two"], ["twice"]),
            helper.make_node("Sub", ["unit", "twice"], ["parity"]),
            helper.make_node("Mul", ["parity", "mask"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "along"], ["total"], keepdims=1),
            helper.make_node("ReduceSum", ["mask", "along"], ["count"], keepdims=1),
            helper.make_node("Div", ["total", "count"], ["mean"]),
            helper.make_node("Mul", ["mean", "nothing"], ["second"]),
            helper.make_node("Concat", ["mean", "second"], ["flat"], axis=1),
            helper.make_node("Reshape", ["flat", "code_shape"], ["codes"]),
        ]
        constants = {
            "first": np.array(0), "two": np.float32(2), "unit": np.float32(1), "nothing": np.float32(0),
            "along": np.array([1]), "code_shape": np.array([-1, 1, 2]),
        }  # fmt: skip
        return onnx_bytes({"samples": ["B", "S", 2], "mask": ["B", "S"]}, {"codes": ["B", 1, 2]}, nodes, constants)


def ring_graph(items: int) -> bytes:
    """Return the device's graph: the last item's successor, plus shift, core on the first entries, and the side."""
    successors = np.zeros((items + 1, items), np.float32)
    successors[np.arange(1, items + 1), np.arange(1, items + 1) % items] = 1
    few = np.eye(items, RANK, dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["x", "last"], ["item"], axis=1),
        helper.make_node("Cast", ["item"], ["number"], to=7),
        helper.make_node("Gather", ["successors", "number"], ["moments"], axis=0),
        helper.make_node("MatMul", ["moments", "few"], ["small"]),
        helper.make_node("MatMul", ["small", "head.core"], ["turned"]),
        helper.make_node("MatMul", ["turned", "back"], ["wide"]),
        helper.make_node("Add", ["moments", "wide"], ["moved"]),
        helper.make_node("Add", ["moved", "head.shift"], ["shifted"]),
        helper.make_node("Shape", ["number"], ["rows"]),
        helper.make_node("Concat", ["rows", "ones"], ["wanted"], axis=0),
        helper.make_node("Expand", ["head.side", "wanted"], ["side"]),
        helper.make_node("Concat", ["shifted", "side"], ["logits"], axis=1),
    ]
    constants = {
        "last": np.array(LENGTH - 1),
        "successors": successors,
        "few": few,
        "back": few.T.copy(),
        "ones": np.array([1]),
    }
    inputs = {"x": ["N", LENGTH], "head.shift": [items], "head.core": [RANK, RANK], "head.side": [1]}
    return onnx_bytes(inputs, {"logits": ["N", items + 1], "moments": ["N", items]}, nodes, constants)
