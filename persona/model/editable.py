"""A torch module, some of whose layers may be edited per device: one forward pass gives logits and sketch moments."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.func import functional_call

from persona.errors import EditError, SpecError
from persona.model.independence import check_independence
from persona.model.layers import EditableBatchNorm2d
from persona.model.patterns import check_taking_part, find_layers, find_leaves, make_editable
from persona.model.taps import Tap, check_taps, choose_taps, tap_moments
from persona.model.watching import in_eval_mode, watching
from persona.sketch import TapSpec
from persona.spec import LayerSpec, ModelSpec, TensorSpec

Deltas = Mapping[str, Tensor]


class Output(NamedTuple):
    """Logits (N, C) and per-sample moments (N, M) of one forward pass."""

    logits: Tensor
    moments: Tensor


class EditableModel(nn.Module):
    """A copy of a module whose chosen layers may be edited; the module given stays as it is.

    `editable` and `taps` are shell-style patterns on module names (``"head"``, ``"*.norm?"``). Taps name the modules
    whose inputs are sketched; by default every normalisation layer and, for its mean alone, the last linear layer; in a
    net without normalisation layers the editable layers. `grid` g taps the model's input pictures too, on g × g cells.
    `example` is one small batch of inputs (N, …): forward passes
    over it find the order of the layers and try an edit of each. `rho` bounds an edit relative to its tensor (method
    §3).

    Raises SpecError where a pattern matches nothing, a layer is of a kind that cannot be edited, takes no part or mixes
    the samples of several devices, or where the module's output is not one tensor (N, classes).
    """

    def __init__(
        self,
        module: nn.Module,
        editable: Sequence[str],
        example: Tensor,
        *,
        taps: Sequence[str] | None = None,
        grid: int = 0,
        rho: float = 1.0,
    ) -> None:
        super().__init__()
        self.module = copy.deepcopy(module)
        layers = find_layers(self.module, editable)
        make_editable(self.module, layers)
        inputs, logits = _trace(self.module, example)
        check_taking_part(editable, layers, list(inputs))
        edited = [name for name in inputs if name in layers]
        self.spec = _model_spec(self.module, {name: layers[name] for name in edited}, rho)
        self.taps: tuple[Tap, ...] = choose_taps(self.module, list(inputs), edited, taps, grid)
        check_taps(self.taps, inputs, len(example))
        self.tap_specs = tuple(TapSpec(t.name, t.channels(inputs[t.name]), t.order) for t in self.taps)
        self.input_shape: tuple[int, ...] = tuple(example.shape[1:])
        self.input_dtype = example.dtype
        self.n_classes = int(logits.shape[1])
        with in_eval_mode(self.module), torch.no_grad():
            check_independence(lambda x, deltas: self(x, deltas).logits, self.spec, example)

    @property
    def n_features(self) -> int:
        """F: the width of this model's sketch features."""
        return sum(tap.width for tap in self.tap_specs) + self.n_classes

    def forward(
        self, x: Shaped[Tensor, "n ..."], deltas: Deltas | None = None, own: Mapping[str, Tensor] | None = None
    ) -> Output:
        """Run N = B·Q samples, device-major.

        `deltas` maps names of editable tensors to (B, *shape), or to (*shape) for all devices alike; without them the
        base model runs. `own` maps names of edited batch normalisations to the share of each device's own statistics,
        taken from these very samples. EditError where one has another name or shape.
        """
        deltas = deltas or {}
        self._check(deltas)
        self._check_shares(own or {})
        base = {name: self.module.get_parameter(name) for name in deltas}
        shares = {f"{name}.own_share": share for name, share in (own or {}).items()}
        return self._run(x, {**{name: value + deltas[name].to(value) for name, value in base.items()}, **shares})

    def with_weights(self, x: Shaped[Tensor, "n ..."], weights: Mapping[str, Tensor]) -> Output:
        """Run with editable tensors replaced by whole weights, (*shape) or (B, *shape); errors as in `forward`."""
        self._check(weights)
        return self._run(x, weights)

    def base_weights(self) -> dict[str, Tensor]:
        """Return the present values of the editable tensors, detached, in order."""
        return {name: self.module.get_parameter(name).detach() for name in self.spec.names}

    def _run(self, x: Tensor, weights: Mapping[str, Tensor]) -> Output:
        taps = {tap.name: tap for tap in self.taps}
        moments: dict[str, Tensor] = {}
        # The edited layers are watched too: torch's fused transformer layers read weights past their Linears, but
        # never where one of them has a hook.
        names = dict.fromkeys([*taps, *(layer.name for layer in self.spec.layers)])
        with watching(self.module, names, partial(_take, taps, moments)):
            # A tied weight is edited under the name given, and nowhere else.
            logits = functional_call(self.module, dict(weights), (x,), tie_weights=False)
        return Output(logits, torch.cat([moments[name] for name in taps], dim=1))

    def _check(self, tensors: Mapping[str, Tensor]) -> None:
        shapes = {tensor.name: tensor.shape for tensor in self.spec.tensors}
        for name, value in tensors.items():
            if name not in shapes:
                raise EditError(f"{name!r} is no editable tensor of this model; there are {', '.join(shapes)}")
            shape = shapes[name]
            if value.ndim > len(shape) + 1 or tuple(value.shape)[-len(shape) :] != shape:
                raise EditError(
                    f"edit of {name!r} has shape {tuple(value.shape)}; wanted {shape}, or (devices, …) of that"
                )

    def _check_shares(self, own: Mapping[str, Tensor]) -> None:
        layers = {layer.name: self.module.get_submodule(layer.name) for layer in self.spec.layers} if own else {}
        norms = [name for name, layer in layers.items() if isinstance(layer, EditableBatchNorm2d)]
        for name, share in own.items():
            if name not in norms:
                known = ", ".join(norms) or "none"
                raise EditError(f"{name!r} is no edited batch normalisation of this model; there are {known}")
            if share.ndim:
                raise EditError(f"the share of own statistics of {name!r} has shape {tuple(share.shape)}; wanted ()")


def _take(taps: Mapping[str, Tap], moments: dict[str, Tensor], name: str, value: Tensor) -> None:
    if name in taps:
        moments[name] = tap_moments(taps[name], value)


def _trace(module: nn.Module, example: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Return the leaf modules' inputs, in the order of a forward pass, and its output; SpecError for no (N, C)."""
    inputs: dict[str, Tensor] = {}
    with watching(module, find_leaves(module), inputs.__setitem__), in_eval_mode(module), torch.no_grad():
        logits = module(example)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(example):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise SpecError(
            f"the module's output on a batch of {len(example)} is {found}; wanted one tensor of logits (N, classes)"
        )
    return inputs, logits


def _model_spec(module: nn.Module, kinds: Mapping[str, str], rho: float) -> ModelSpec:
    return ModelSpec(
        tuple(
            LayerSpec(name, kind, _tensor_specs(name, module.get_submodule(name), rho)) for name, kind in kinds.items()
        )
    )


def _tensor_specs(name: str, layer: nn.Module, rho: float) -> tuple[TensorSpec, ...]:
    """Return weight and bias with their bounds.

    A weight's bound is ρ·RMS(W). A bias often starts at zero, so its bound is that of the layer's output for inputs of
    unit variance instead: ρ·RMS(W)·√fan_in, which for a normalisation layer is ρ·RMS(scale).
    """
    weight = layer.get_parameter("weight").detach()
    rms = max(float(weight.square().mean().sqrt()), 1e-3)
    fan_in = weight[0].numel() if weight.ndim > 1 and not isinstance(layer, nn.LayerNorm) else 1
    specs = [TensorSpec(f"{name}.weight", tuple(weight.shape), rho * rms)]
    bias = dict(layer.named_parameters(recurse=False)).get("bias")
    if bias is not None:
        specs.append(TensorSpec(f"{name}.bias", tuple(bias.shape), rho * rms * fan_in**0.5))
    return tuple(specs)
