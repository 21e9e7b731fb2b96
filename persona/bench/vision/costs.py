"""What one window costs a device: computation, backward passes, memory, bytes on the wire. Counted, not timed."""

from __future__ import annotations

import contextlib
import math
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from persona.baselines.base import Method
from persona.baselines.cema import Cema
from persona.wire import AdaptReply, AdaptRequest

_FINGERPRINT = "0" * 12  # sizes on the wire do not depend on it


@dataclass(frozen=True)
class Traffic:
    """Bytes a window, up to the cloud and down from it."""

    up_bytes: int = 0
    down_bytes: int = 0


@dataclass(frozen=True)
class Costs:
    """One window on the device.

    `flops` of `step` (multiplications and additions counted apart, forward and backward), `answer_flops` of `answer`,
    `backward_passes` of one step, `saved_bytes` the most that is kept at one time for a backward pass, parameters and
    buffers not counted, `largest_bytes` the largest tensor that an operation gives, and what travels.
    """

    flops: int
    answer_flops: int
    backward_passes: int
    saved_bytes: int
    largest_bytes: int
    up_bytes: int = 0
    down_bytes: int = 0

    def to_json(self) -> dict[str, float]:
        """Return plain values by name."""
        return asdict(self)


def measure_costs(
    make: Callable[[int], Method],
    window: Tensor,
    traffic: Traffic = Traffic(),
    verb: Literal["step", "answer"] = "step",
) -> Costs:
    """Return what one window (N, …) costs after a first one: a method that has seen nothing may do less.

    `verb` is what the device itself does with a window: "answer" where the cloud does the rest, as for CEMA. A method
    that takes labels is told its own answers, and learns from them. Errors are those of the method.
    """
    method = make(0)
    weights: set[int] = set()
    with _weights_seen(weights):
        method.step(window)
    answer_flops = _flops(method.answer, window)
    saved, largest = _Saved(weights), _Largest()
    flops = FlopCounterMode(display=False)
    hooks = torch.autograd.graph.saved_tensors_hooks(saved.pack, _unpack)
    with _weights_seen(weights), _backward_passes() as passes, hooks, largest, flops:
        _work(method, window, verb)
    return Costs(
        flops.get_total_flops(), answer_flops, passes[0], saved.most, largest.most, traffic.up_bytes, traffic.down_bytes
    )


def _work(method: Method, window: Tensor, verb: Literal["step", "answer"]) -> None:
    logits = getattr(method, verb)(window)
    reveal = getattr(method, "reveal", None)
    if reveal is not None:
        reveal(window, logits.detach().argmax(dim=1))


def sketch_traffic(features: int, code: tuple[int, int], samples: int) -> Traffic:
    """Return what ours sends: a sketch of `features` float16 up, a prototype with a float16 code (n, d) down."""
    request = AdaptRequest(_FINGERPRINT, "sketch", np.zeros(features, np.float16), samples)
    reply = AdaptReply(_FINGERPRINT, 0, 0, 0, np.zeros(code, np.float32))
    return Traffic(len(request.encode()), len(reply.encode()))


def prototype_traffic(features: int, samples: int) -> Traffic:
    """Return what ours sends where the prototype alone comes down."""
    return Traffic(sketch_traffic(features, (1, 1), samples).up_bytes, len(AdaptReply(_FINGERPRINT, 0, 0, 0).encode()))


def cema_traffic(method: Cema, window: Tensor, norms: int) -> Traffic:
    """Return what CEMA sends for a window (N, …): samples worth it up, a byte a value, `norms` float32 down."""
    sent = int(method.is_worth_sending(method.answer(window)).sum())
    return Traffic(sent * math.prod(window.shape[1:]), 4 * norms if sent else 0)


def _flops(verb: Callable[[Tensor], Tensor], window: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        verb(window)
    return int(counter.get_total_flops())


@contextlib.contextmanager
def _weights_seen(found: set[int]) -> Iterator[None]:
    """Add the storages of parameters and buffers of every module that runs: they are no activations."""

    def note(module: nn.Module, _: Any) -> None:
        found.update(t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers()))

    handle = nn.modules.module.register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()


@contextlib.contextmanager
def _backward_passes() -> Iterator[list[int]]:
    """Count calls of torch's two doors to the backward pass while the block runs."""
    doors = {torch.autograd.backward.__code__, torch.autograd.grad.__code__}
    count, before = [0], sys.getprofile()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in doors:
            count[0] += 1

    sys.setprofile(watch)
    try:
        yield count
    finally:
        sys.setprofile(before)


@dataclass(eq=False)
class _Held:
    tensor: Tensor


def _unpack(held: _Held) -> Tensor:
    return held.tensor


class _Saved:
    """Bytes that graphs hold for a backward pass, each storage once; `most` is the most at one time."""

    def __init__(self, weights: set[int]) -> None:
        self._weights = weights
        self._holders: dict[int, int] = {}
        self._now = 0
        self.most = 0

    def pack(self, tensor: Tensor) -> _Held:
        held = _Held(tensor)
        storage = tensor.untyped_storage()
        key, size = storage.data_ptr(), storage.nbytes()
        if key in self._weights:
            return held
        if self._holders.setdefault(key, 0) == 0:
            self._now += size
            self.most = max(self.most, self._now)
        self._holders[key] += 1
        weakref.finalize(held, self._release, key, size)
        return held

    def _release(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if self._holders[key] == 0:
            self._now -= size


class _Largest(TorchDispatchMode):
    """The bytes of the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() * leaf.element_size() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.most = max(self.most, *sizes, 0)
        return out
