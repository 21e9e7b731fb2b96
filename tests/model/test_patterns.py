"""Patterns on module names: what they find, and what they say when they find nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.errors import SpecError
from persona.model import EditableModel
from persona.model.patterns import find_layers, find_leaves, make_editable


class Odd(nn.Module):
    """Layers of every sort: (N, 4) → (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.act = nn.ReLU()
        self.free_norm = nn.BatchNorm2d(4, affine=False)
        self.flat_norm = nn.BatchNorm1d(4)
        self.recurrent = nn.GRU(4, 4, batch_first=True)
        self.words = nn.Embedding(10, 4)
        self.unused = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.free_norm(self.act(self.inner(x))[:, :, None, None])[:, :, 0, 0]
        logits: Tensor = self.head(self.flat_norm(x) + self.recurrent(x[:, None])[0][:, 0])
        return logits


def model(*patterns: str) -> EditableModel:
    return EditableModel(Odd(), patterns, torch.randn(3, 4))


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("haed",), "pattern 'haed' matches no layer .* can be edited: inner.0, unused, head$"),
        (("head", "nothing.*"), r"pattern 'nothing.\*' matches no layer"),
        (("inner",), "pattern 'inner' matches no layer"),
        (("act",), "pattern 'act' matches 'act', a ReLU without parameters: there is nothing to edit"),
        (("free_norm",), "matches 'free_norm', a BatchNorm2d without parameters: there is nothing to edit"),
        (("recurrent",), "layer 'recurrent' is a GRU, which cannot be edited; wanted one of Linear, Conv2d"),
        (("words",), "layer 'words' is a Embedding, which cannot be edited"),
        (("flat_norm",), "layer 'flat_norm' is a BatchNorm1d, which cannot be edited"),
        (("*",), "which cannot be edited"),
        (("unused",), "no layer matching 'unused' takes part in a forward pass"),
        (("head", "unus*"), r"no layer matching 'unus\*' takes part in a forward pass"),
        ((), "no layers"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(patterns: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        model(*patterns)


def test_a_module_that_is_itself_a_layer_has_nothing_to_name() -> None:
    with pytest.raises(SpecError, match=r"matches no layer of this model; layers that can be edited: none"):
        EditableModel(nn.Linear(4, 2), ["*"], torch.zeros(2, 4))


def test_patterns_pass_over_containers_and_layers_without_parameters() -> None:
    assert model("inner*", "head").spec.names == ("inner.0.weight", "inner.0.bias", "head.weight", "head.bias")


def test_a_wide_pattern_may_include_layers_that_take_no_part() -> None:
    assert [layer.name for layer in model("[hu]*").spec.layers] == ["head"]


def test_found_layers_come_in_the_order_of_registration_each_once() -> None:
    assert list(find_layers(Odd(), ["head", "unused", "h*", "inner.?"])) == ["inner.0", "unused", "head"]


def test_a_shared_layer_stands_under_its_first_name() -> None:
    shared = nn.Linear(3, 3)
    assert list(find_leaves(nn.ModuleDict({"a": shared, "b": shared}))) == ["a"]


def test_subclasses_of_layers_are_left_alone() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    net = nn.Sequential(Scaled(2, 2))
    with pytest.raises(SpecError, match="layer '0' is a Scaled, which cannot be edited"):
        find_layers(net, ["0"])
    make_editable(net, {"0": "linear"})
    assert type(net[0]) is Scaled
