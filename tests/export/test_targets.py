"""Other runtimes give what torch gives, under base weights and edited ones, where their packages are installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from persona.backbones.cnn import cnn_bn, cnn_gn
from persona.errors import ExportError
from persona.export.targets import TARGETS, write_target
from persona.model import EditableModel

PACKAGES = {"litert": "litert_torch", "executorch": "executorch"}
Outputs = list[npt.NDArray[Any]]


def run_litert(path: Path, inputs: list[torch.Tensor]) -> Outputs:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner()
    feeds = {f"args_{n}": value.numpy() for n, value in enumerate(inputs)}
    found = runner(**feeds)
    return [found[f"output_{n}"] for n in range(2)]


def run_executorch(path: Path, inputs: list[torch.Tensor]) -> Outputs:
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")
    return [value.numpy() for value in method.execute(inputs)]


RUN: dict[str, Callable[[Path, list[torch.Tensor]], Outputs]] = {"litert": run_litert, "executorch": run_executorch}


@pytest.mark.filterwarnings("ignore")  # the converters' own
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("net", [cnn_bn, cnn_gn])
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_gives_what_torch_gives_under_any_weights(target: str, net: Any, tmp_path: Path) -> None:
    if importlib.util.find_spec(PACKAGES[target]) is None:
        pytest.skip(f"{PACKAGES[target]} is not installed; see docs/targets.md")
    torch.manual_seed(0)
    model = EditableModel(net().eval(), ("norm*", "head"), torch.zeros(2, 1, 28, 28))
    path = write_target(model, target, tmp_path, batch=4)
    for strength in (0.0, 0.1):
        x = torch.rand(4, 1, 28, 28)
        weights = {n: w.detach() + strength * torch.randn(w.shape) for n, w in model.base_weights().items()}
        with torch.no_grad():
            wanted = [value.numpy() for value in model.with_weights(x, weights)]
        for a, b in zip(RUN[target](path, [x, *weights.values()]), wanted, strict=True):
            assert np.abs(a - b).max() < 1e-4 * max(np.abs(b).max(), 1)


@pytest.mark.parametrize("target", TARGETS)
def test_a_converter_that_is_not_there_is_named(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGES[target], None)
    model = EditableModel(cnn_bn().eval(), ("head",), torch.zeros(2, 1, 28, 28))
    with pytest.raises(ExportError, match=rf"persona-edge\[{target}\]"):
        write_target(model, target, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_target_is_told_which_there_are(tmp_path: Path) -> None:
    model = EditableModel(cnn_bn().eval(), ("head",), torch.zeros(2, 1, 28, 28))
    with pytest.raises(ExportError, match="litert, executorch"):
        write_target(model, "coreml", tmp_path)
