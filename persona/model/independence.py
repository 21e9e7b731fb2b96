"""The trial of a new editable model: one device's edit must leave another device's outputs alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from persona.errors import EditError, SpecError
from persona.spec import LayerSpec, ModelSpec

# Runs a batch under deltas and returns its logits.
Run = Callable[[Tensor, Mapping[str, Tensor]], Tensor]

# By how much an output may differ between an edited and a plain batch, relative to the largest: rounding does less.
TOLERANCE = 1e-3

_WANTED = "wanted layers that the module calls, and calls with the samples along the first axis"


def check_independence(run: Run, spec: ModelSpec, example: Tensor) -> None:
    """Edit each layer for the second of two devices; SpecError naming a layer where the first one's outputs change.

    That happens where a layer does not see the samples along its first axis, device after device: sequences laid out
    time first, for example, or a weight that is also read past its layer.
    """
    dice = torch.Generator().manual_seed(0)
    samples = example
    if example.is_floating_point() and bool((example == example.flatten()[0]).all()):
        samples = torch.rand(example.shape, generator=dice).to(example)  # on a blank one many an edit has no effect
    x = torch.cat([samples, samples])
    base = _attempt(run, x, {}, f"the module does not run on {len(x)} samples in the place of {len(example)}")
    for layer in spec.layers:
        edit = _edit_of_second(layer, dice)
        logits = _attempt(run, x, edit, f"layer {layer.name!r} does not run with one weight per device")
        if logits.shape != base.shape or not _equal(logits[: len(example)], base[: len(example)]):
            raise SpecError(f"an edit of layer {layer.name!r} for one device reaches another's samples; {_WANTED}")


def _attempt(run: Run, x: Tensor, deltas: Mapping[str, Tensor], failure: str) -> Tensor:
    try:
        return run(x, deltas)
    except (RuntimeError, EditError, IndexError) as error:
        raise SpecError(f"{failure} ({error}); {_WANTED}") from error


def _edit_of_second(layer: LayerSpec, dice: torch.Generator) -> dict[str, Tensor]:
    deltas: dict[str, Tensor] = {}
    for tensor in layer.tensors:
        signs = torch.randint(0, 2, tensor.shape, generator=dice) * 2.0 - 1.0
        deltas[tensor.name] = torch.stack([torch.zeros_like(signs), signs * tensor.bound])
    return deltas


def _equal(found: Tensor, wanted: Tensor) -> bool:
    largest = float(wanted.nan_to_num().abs().max())
    tolerance = max(TOLERANCE, 8 * torch.finfo(wanted.dtype).eps) * max(largest, 1.0)
    return torch.allclose(found, wanted, rtol=0, atol=tolerance, equal_nan=True)
