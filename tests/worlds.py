"""A world whose answer is known by hand: two domains, and only the recent data tells which one it is.

A sample x has `channels` ≥ 4 numbers. In domain d (+1 or −1) with threshold t:

    x0, x1 = d·u0, d·u1        what counts is hidden behind the sign of the domain
    x2 ≈ t, x3 ≈ 2d            the threshold and the domain, each with noise
    label = [u0 + u1 > t]      never closer to the threshold than `MARGIN`

The device's model is linear, so without an edit it cannot do better than chance over both domains. The right edit
makes it perfect: head.weight += d·V, head.bias += (t, −t), with V = ±1 on x0 and x1. A code is one row, (d, t);
prototype 0 is (+1, 0), prototype 1 is (−1, 0). The first tap is x itself, before anything that is edited.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from persona.bank import Bank
from persona.bundle import Bundle
from persona.decoder import Decoder, DensePart
from persona.edit import Array, Edit
from persona.jump import JumpSpec
from persona.sketch import SketchSpec, TapSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec
from persona.wire import AdaptReply, AdaptRequest

CLASSES = 2
MARGIN = 0.5
NOISE = 0.25  # of x2 and x3
WEIGHT_BOUND, BIAS_BOUND = 4.0, 8.0
BANK_VERSION = 3
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """The world and everything that was made for it. `window` samples to a window of the jump test."""

    context: str = "sketch"
    channels: int = 4
    support: tuple[int, int] = (8, 32)
    window: int = 32
    expires_s: int = field(default=0, kw_only=True)

    @cached_property
    def bundle(self) -> Bundle:
        """The device's half, as read from its file."""
        tap = TapSpec("input", self.channels)
        parts = Bundle(
            graph=linear_graph(self.channels),
            weights=self.base,
            decoder=self.decoder,
            bank=self.bank,
            sketch=SketchSpec.unscaled((tap,), CLASSES),
            jump=JumpSpec(np.full(tap.width, 0.25, np.float32), 3.0, self.window),
            input_shape=(self.channels,),
            context=self.context,
            support=self.support,
            about={"task": "two domains"},
        )
        return Bundle.from_bytes(parts.to_bytes())

    @cached_property
    def spec(self) -> ModelSpec:
        """One layer, the head."""
        weight = TensorSpec("head.weight", (CLASSES, self.channels), WEIGHT_BOUND)
        return ModelSpec((LayerSpec("head", "linear", (weight, TensorSpec("head.bias", (CLASSES,), BIAS_BOUND))),))

    @cached_property
    def base(self) -> dict[str, Array]:
        """Base weights that look at x3 a little: right for half of the labels."""
        weight = np.zeros((CLASSES, self.channels), np.float32)
        weight[1, 3] = 0.0625
        return {"head.weight": weight, "head.bias": np.zeros(CLASSES, np.float32)}

    @cached_property
    def decoder(self) -> Decoder:
        """Inverts its own bound for d = ±1, so that a prototype's edit is exact."""
        direction = np.zeros((CLASSES, self.channels), np.float32)
        direction[:, :2] = [[-1, -1], [1, 1]]
        weight = np.zeros((2, direction.size), np.float32)
        weight[0] = WEIGHT_BOUND * np.arctanh(direction.reshape(-1) / WEIGHT_BOUND)
        bias = np.array([[0, 0], [1, -1]], np.float32)
        none = np.zeros(direction.size, np.float32)
        parts = {"head.weight": DensePart(weight, none), "head.bias": DensePart(bias, none[:CLASSES])}
        return Decoder(self.spec, parts, (1, 2))

    @cached_property
    def bank(self) -> Bank:
        """Two prototypes; the map reads the domain from x3's mean and the threshold from x2's."""
        codes = np.array([[[1, 0]], [[-1, 0]]], np.float32)
        weight = np.zeros((2 * self.channels + CLASSES, 2), np.float32)
        weight[3, 0], weight[2, 1] = 0.5, 1.0
        return Bank(codes, np.array([1, 1]), weight, np.zeros(2, np.float32), BANK_VERSION)

    def sample(self, domain: int, count: int, rng: np.random.Generator, threshold: float = 0.0) -> tuple[Array, Labels]:
        """Return x (count, channels) and labels (count,)."""
        u = rng.normal(size=(count, 2))
        over = u.sum(axis=1) - threshold
        label = over > 0
        u[:, 0] += np.where(np.abs(over) < MARGIN, np.where(label, MARGIN, -MARGIN), 0.0)
        x = rng.normal(size=(count, self.channels))
        x[:, :2] = domain * u
        x[:, 2] = threshold + NOISE * x[:, 2]
        x[:, 3] = 2.0 * domain + NOISE * x[:, 3]
        return x.astype(np.float32), label.astype(np.int64)

    def code(self, domain: int, threshold: float = 0.0) -> Array:
        """Return the right code (1, 2)."""
        return np.array([[domain, threshold]], np.float32)

    def edit(self, domain: int, threshold: float = 0.0) -> Edit:
        """Return the right edit."""
        return self.decoder.decode(self.code(domain, threshold))

    def logits(self, x: Array, edit: Edit | None = None) -> Array:
        """Return the logits (N, 2) that the graph has to give."""
        weights = self.base if edit is None else edit.apply(self.base)
        return np.asarray(x @ weights["head.weight"].T + weights["head.bias"], np.float32)

    def moments(self, x: Array) -> Array:
        """Return the moments (N, 2·channels) that the graph has to give."""
        return np.concatenate([x, x**2], axis=1)

    def answer(self, request: AdaptRequest) -> AdaptReply:
        """Return what a perfect adapter answers, under the fingerprint that the request names."""
        means = np.mean(request.values, axis=0) if request.context == "samples" else request.values
        code = self.code(int(np.sign(means[3])), float(means[2]))
        prototype = int(self.bank.assign(code)[0])
        residual = self.bank.residual(code, prototype)
        return AdaptReply(request.fingerprint, prototype, self.bank.version, self.expires_s, residual, "float32")

    @cached_property
    def encoder(self) -> bytes:
        """The cloud's half: the perfect adapter as an ONNX graph."""
        nodes = [
            helper.make_node("Gather", ["means", "third"], ["x3"], axis=1),
            helper.make_node("Sign", ["x3"], ["domain"]),
            helper.make_node("Gather", ["means", "second"], ["threshold"], axis=1),
            helper.make_node("Concat", ["domain", "threshold"], ["flat"], axis=1),
            helper.make_node("Reshape", ["flat", "code_shape"], ["codes"]),
        ]
        constants = {"third": np.array([3]), "second": np.array([2]), "code_shape": np.array([-1, 1, 2])}
        if self.context == "samples":
            nodes[:0] = [
                helper.make_node("Unsqueeze", ["mask", "last"], ["spread"]),
                helper.make_node("Mul", ["samples", "spread"], ["kept"]),
                helper.make_node("ReduceSum", ["kept", "one"], ["total"], keepdims=0),
                helper.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=1),
                helper.make_node("Div", ["total", "count"], ["means"]),
            ]
            constants |= {"last": np.array([2]), "one": np.array([1])}
            inputs = {"samples": ["B", "S", self.channels], "mask": ["B", "S"]}
        else:
            nodes.insert(0, helper.make_node("Identity", ["features"], ["means"]))
            inputs = {"features": ["B", 2 * self.channels + CLASSES]}
        return onnx_bytes(inputs, {"codes": ["B", 1, 2]}, nodes, constants)


def linear_graph(channels: int, baked: dict[str, Array] | None = None) -> bytes:
    """Return a device graph: logits = x Wᵀ + b, moments = [x, x²]. `baked` weights are constants, not inputs."""
    nodes = [
        helper.make_node("Gemm", ["x", "head.weight", "head.bias"], ["logits"], transB=1),
        helper.make_node("Mul", ["x", "x"], ["squares"]),
        helper.make_node("Concat", ["x", "squares"], ["moments"], axis=1),
    ]
    constants = baked or {}
    inputs = {"x": ["N", channels], "head.weight": [CLASSES, channels], "head.bias": [CLASSES]}
    plain = {name: shape for name, shape in inputs.items() if name not in constants}
    return onnx_bytes(plain, {"logits": ["N", CLASSES], "moments": ["N", 2 * channels]}, nodes, constants)


def onnx_bytes(
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    nodes: list[onnx.NodeProto],
    constants: dict[str, npt.NDArray[np.generic]],
) -> bytes:
    """Return a model of float32 inputs and outputs."""
    graph = helper.make_graph(
        nodes,
        "world",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def accuracy(logits: Array, labels: Labels) -> float:
    """Return the share of samples whose largest logit is that of their label."""
    return float(np.mean(np.argmax(logits, axis=1) == labels))
