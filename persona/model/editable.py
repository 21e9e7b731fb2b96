"""A torch module, some of whose layers may be edited per device: one forward pass gives logits and sketch moments."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from persona.errors import SpecError
from persona.model.patterns import find_layers, make_editable
from persona.model.taps import Tap, choose_taps, sample_moments
from persona.sketch import TapSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec

Deltas = Mapping[str, Tensor]


class Output(NamedTuple):
    """Logits (N, C) and per-sample moments (N, M) of one forward pass."""

    logits: Tensor
    moments: Tensor


class EditableModel(nn.Module):
    """A copy of a module whose chosen layers may be edited; the module given stays as it is.

    `editable` and `taps` are shell-style patterns on module names (``"head"``, ``"*.norm?"``). Taps name the modules whose
    inputs are sketched; by default every normalisation layer and, for its mean alone, the last linear layer; in a net without
    normalisation layers the editable layers. `example` is one small batch of inputs (N, …): a forward pass over it finds the
    order of the layers. `rho` bounds an edit relative to its tensor (method §3).

    Raises SpecError where a pattern matches nothing, or a layer of a kind that cannot be edited.
    """

    def __init__(
        self,
        module: nn.Module,
        editable: Sequence[str],
        example: Tensor,
        *,
        taps: Sequence[str] | None = None,
        rho: float = 1.0,
    ) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)
        make_editable(self.module, find_layers(self.module, editable))
        order, shapes = _forward_order(self.module, example)
        edited = [name for name in order if name in find_layers(self.module, editable)]
        if not edited:
            raise SpecError(
                f"no layer matching {list(editable)} takes part in a forward pass; name layers that do"
            )
        self.spec = _model_spec(self.module, edited, rho)
        self.taps: tuple[Tap, ...] = choose_taps(self.module, order, edited, taps)
        self.tap_specs = tuple(TapSpec(t.name, shapes[t.name][t.axis], t.order) for t in self.taps)
        self.input_shape: tuple[int, ...] = tuple(example.shape[1:])
        self.n_classes = _count_classes(self.module, example)

    def forward(self, x: Float[Tensor, "n ..."], deltas: Deltas | None = None) -> Output:
        """Run N = B·Q samples, device-major.

        `deltas` maps tensor names to (B, *shape); without them the base model runs.
        """
        overrides: dict[str, Tensor] = {}
        if deltas:
            base = dict(self.module.named_parameters())
            overrides = {name: base[name] + delta for name, delta in deltas.items()}
        return self.with_weights(x, overrides)

    def with_weights(self, x: Float[Tensor, "n ..."], weights: Mapping[str, Tensor]) -> Output:
        """Run with some parameters replaced by whole weights, (*shape) or (B, *shape)."""
        with _recording(self.module, [tap.name for tap in self.taps]) as seen:
            logits = functional_call(self.module, dict(weights), (x,), tie_weights=False)
        return Output(logits, sample_moments(self.taps, seen))

    def base_weights(self) -> dict[str, Tensor]:
        """Return the present values of the editable tensors, detached, in order."""
        parameters = dict(self.module.named_parameters())
        return {name: parameters[name].detach() for name in self.spec.names}


def _forward_order(module: nn.Module, example: Tensor) -> tuple[list[str], dict[str, torch.Size]]:
    """Return the leaf modules in the order of a forward pass, each once, and the shapes of their inputs."""
    order: dict[str, torch.Size] = {}
    names = [
        name for name, child in module.named_modules() if name and not any(True for _ in child.children())
    ]
    with _recording(module, names) as seen, _in_eval_mode(module), torch.no_grad():
        module(example)
    order.update({name: value.shape for name, value in seen.items()})
    return list(order), order


def _count_classes(module: nn.Module, example: Tensor) -> int:
    with _in_eval_mode(module), torch.no_grad():
        logits = module(example)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise SpecError(f"the module's output is {found}; wanted one tensor of logits (N, classes)")
    return int(logits.shape[1])


@contextmanager
def _recording(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the first input of each named module, in the order of the forward pass."""
    seen: dict[str, Tensor] = {}

    def hook_for(name: str) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            if name not in seen and inputs and isinstance(inputs[0], Tensor):
                seen[name] = inputs[0]

        return hook

    handles = [module.get_submodule(name).register_forward_pre_hook(hook_for(name)) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _in_eval_mode(module: nn.Module) -> Iterator[None]:
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for child, training in modes.items():
            child.training = training


def _model_spec(module: nn.Module, edited: Sequence[str], rho: float) -> ModelSpec:
    kinds = find_layers(module, edited)
    return ModelSpec(
        tuple(
            LayerSpec(name, kinds[name], _tensor_specs(name, module.get_submodule(name), rho))
            for name in edited
        )
    )


def _tensor_specs(name: str, layer: nn.Module, rho: float) -> tuple[TensorSpec, ...]:
    """Return weight and bias with their bounds.

    A weight's bound is ρ·RMS(W). A bias often starts at zero, so its bound is that of the layer's output for inputs of unit
    variance instead: ρ·RMS(W)·√fan_in, which for a normalisation layer is ρ·RMS(scale).
    """
    weight = layer.get_parameter("weight").detach()
    rms = max(float(weight.square().mean().sqrt()), 1e-3)
    fan_in = weight[0].numel() if weight.ndim > 1 and not isinstance(layer, nn.LayerNorm) else 1
    specs = [TensorSpec(f"{name}.weight", tuple(weight.shape), rho * rms)]
    bias = dict(layer.named_parameters(recurse=False)).get("bias")
    if bias is not None:
        specs.append(TensorSpec(f"{name}.bias", tuple(bias.shape), rho * rms * fan_in**0.5))
    return tuple(specs)
