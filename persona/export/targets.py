"""The same graph for other runtimes: LiteRT and ExecuTorch, with the editable weights as inputs as well.

Their converters are extras that are imported here alone; docs/targets.md says what works where.
"""

from __future__ import annotations

import copy
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from persona.errors import ExportError
from persona.files import write_whole
from persona.model.editable import EditableModel

Inputs = tuple[Tensor, ...]


class _Flat(nn.Module):
    """The forward pass from x and one weight after another, in the order of the spec, to logits and moments."""

    def __init__(self, model: EditableModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        logits, moments = self.model.with_weights(x, dict(zip(self.model.spec.names, weights, strict=True)))
        return logits, moments


def write_target(model: EditableModel, target: str, folder: Path, batch: int = 1) -> Path:
    """Write a model for a runtime and return the file, ``device.tflite`` or ``device.pte``.

    Inputs: x (batch, *input_shape), then the editable weights in the order of the spec; outputs logits and moments. The
    batch is fixed. ExportError where the target is unknown, its converter is not installed, or it refuses the model.
    """
    if target not in TARGETS:
        raise ExportError(f"{target!r} is no target to export to; wanted one of {', '.join(TARGETS)}")
    name, convert = TARGETS[target]
    flat = _Flat(copy.deepcopy(model)).eval()
    for value in (*flat.parameters(), *flat.buffers()):  # ExecuTorch's kernels refuse channels-last strides
        value.data = value.detach().clone(memory_format=torch.contiguous_format)
    inputs = (torch.zeros(batch, *model.input_shape), *(value.detach() for value in model.base_weights().values()))
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            data = convert(flat, inputs)
    except ModuleNotFoundError as error:
        raise ExportError(
            f"exporting for {target} needs {error.name}, which is not installed; run: "
            f"pip install 'persona-edge[{target}]' in an environment of its own (docs/targets.md)"
        ) from error
    except Exception as error:  # converters raise many kinds; each means the same here
        raise ExportError(f"the model cannot be converted for {target}: {error}") from error
    path = folder / name
    write_whole(path, data)
    return path


def _litert(module: nn.Module, inputs: Inputs) -> bytes:
    import litert_torch  # type: ignore[import-not-found, unused-ignore]

    converted = litert_torch.convert(module, inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        return path.read_bytes()


def _executorch(module: nn.Module, inputs: Inputs) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # type: ignore[import-not-found, unused-ignore]
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower  # type: ignore[import-not-found, unused-ignore]

    program: Any = to_edge_transform_and_lower(torch.export.export(module, inputs), partitioner=[XnnpackPartitioner()])
    return bytes(program.to_executorch().buffer)


TARGETS: Mapping[str, tuple[str, Callable[[nn.Module, Inputs], bytes]]] = {
    "litert": ("device.tflite", _litert),
    "executorch": ("device.pte", _executorch),
}
