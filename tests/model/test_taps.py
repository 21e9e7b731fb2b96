"""Taps: which modules' inputs are sketched, and what their moments are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona.errors import SpecError
from persona.model import EditableModel
from persona.model.features import raw_features, standardise
from persona.model.taps import Tap, tap_moments
from persona.sketch import Sketch, SketchSpec, TapSpec
from tests.nets import PictureNet, PlainNet, SequenceNet, TiedNet, editable, inputs, random_deltas


def taps(kind: type[nn.Module], *edited: str, chosen: tuple[str, ...] | None = None) -> list[tuple[str, int]]:
    model = EditableModel(kind(), edited, inputs(kind, 2), taps=chosen)
    return [(tap.name, tap.order) for tap in model.taps]


def test_by_default_norms_are_tapped_and_the_head_for_its_mean() -> None:
    assert taps(PictureNet, "head") == [("bn", 2), ("gn", 2), ("head", 1)]


def test_without_norms_the_edited_layers_are_tapped() -> None:
    assert taps(PlainNet, "second") == [("second", 2), ("head", 1)]
    assert taps(PlainNet, "head", "first") == [("first", 2), ("head", 2)]


def test_the_first_tap_never_lies_behind_an_edited_layer() -> None:
    assert taps(PictureNet, "stem") == [("stem", 2), ("bn", 2), ("gn", 2), ("head", 1)]
    assert taps(PictureNet, "bn", chosen=("head",)) == [("bn", 2), ("head", 2)]
    assert taps(PictureNet, "head", chosen=("gn",)) == [("gn", 2)]
    assert taps(PictureNet, "depthwise", chosen=()) == [("depthwise", 2)]


class Late(nn.Module):
    """Layers are registered in another order than they run in; the last linear one runs before the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.norm(self.linear(x))
        return logits


def test_taps_stand_in_forward_order_and_a_linear_before_the_first_is_no_head() -> None:
    model = EditableModel(Late(), ["norm"], torch.randn(2, 4))
    assert [tap.name for tap in model.taps] == ["norm"]
    model = EditableModel(Late(), ["*"], torch.randn(2, 4), taps=["norm", "linear"])
    assert [tap.name for tap in model.taps] == ["linear", "norm"]
    assert [layer.name for layer in model.spec.layers] == ["linear", "norm"]


@pytest.mark.parametrize("kind", [PlainNet, PictureNet, SequenceNet, TiedNet])
def test_the_first_taps_moments_mean_the_same_whichever_edit_is_active(kind: type[nn.Module]) -> None:
    names = [layer.name for layer in editable(kind).spec.layers]
    for name in names:
        model, x = editable(kind, name), inputs(kind, 4)
        first = slice(0, model.tap_specs[0].width)
        edited = model(x, random_deltas(model.spec, devices=2))
        assert torch.equal(edited.moments[:, first], model(x).moments[:, first]), name
        assert not torch.equal(edited.logits, model(x).logits), name


def test_chosen_taps_follow_patterns() -> None:
    assert taps(PictureNet, "head", chosen=("?n", "stem")) == [("stem", 2), ("bn", 2), ("gn", 2)]
    with pytest.raises(SpecError, match="tap pattern 'cn' matches no module that takes part in a forward pass"):
        taps(PictureNet, "head", chosen=("bn", "cn"))


def test_the_widths_of_the_sketch_follow_the_taps() -> None:
    model = editable(PictureNet)
    assert model.tap_specs == (
        TapSpec("stem", 2),
        TapSpec("bn", 8),
        TapSpec("gn", 8),
        TapSpec("head", 8, 1),
    )
    assert model(inputs(PictureNet, 3)).moments.shape == (3, 4 + 16 + 16 + 8)
    assert model.n_features == 4 + 16 + 16 + 8 + 3


@pytest.mark.parametrize(("shape", "axis"), [((5, 3), 1), ((5, 3, 4, 6), 1), ((5, 4, 3), -1), ((5, 2, 4, 3), -1)])
def test_moments_are_means_and_mean_squares_per_channel(shape: tuple[int, ...], axis: int) -> None:
    x = torch.randn(shape)
    rows = x.movedim(axis, 1).reshape(5, 3, -1).double()
    wanted = torch.cat([rows.mean(dim=2), rows.square().mean(dim=2)], dim=1).float()
    torch.testing.assert_close(tap_moments(Tap("t", axis, 2), x), wanted)
    torch.testing.assert_close(tap_moments(Tap("t", axis, 1), x), wanted[:, :3])


class Words(nn.Module):
    """Reads whole numbers: (N, 5) → (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.words(x).mean(dim=1))
        return logits


class Flattened(nn.Module):
    """Runs a layer on every step of every sequence at once, samples first: (N, 5, 4) → (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.step = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        steps: Tensor = self.step(self.act(x).flatten(0, 1))
        return steps.reshape(len(x), -1, 3).mean(dim=1)


def test_whole_numbers_can_be_read_but_not_tapped() -> None:
    x = torch.randint(0, 10, (4, 5))
    model = EditableModel(Words(), ["head"], x)
    assert model(x, random_deltas(model.spec, 2)).logits.shape == (4, 2)
    with pytest.raises(SpecError, match=r"tap 'words' reads torch.int64 of shape \(4, 5\) from a batch of 4"):
        EditableModel(Words(), ["head"], x, taps=["words"])


def test_a_tap_needs_one_row_a_sample_and_says_what_to_do() -> None:
    x = torch.randn(4, 5, 4)
    with pytest.raises(SpecError, match=r"tap 'step' reads .* \(20, 4\) from a batch of 4; .* before any edited layer"):
        EditableModel(Flattened(), ["step"], x)
    model = EditableModel(Flattened(), ["step"], x, taps=["act"])
    deltas = random_deltas(model.spec, 2)
    alone = model(x[2:], {name: delta[1] for name, delta in deltas.items()}).logits
    torch.testing.assert_close(model(x, deltas).logits[2:], alone)


def test_moments_on_a_grid_are_those_of_cells() -> None:
    """A picture of 4 × 4 in 2 × 2 cells: the first row of cells has the means 2.5 and 4.5, the second 10.5 and 12.5."""
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    means = [2.5, 4.5, 10.5, 12.5]
    found = tap_moments(Tap("t", 1, 2, grid=2), torch.cat([picture, 10 * picture], dim=1))
    wanted = [*means, *(10 * m for m in means), *(m**2 for m in means), *(100 * m**2 for m in means)]
    torch.testing.assert_close(found, torch.tensor([wanted]))
    assert Tap("t", 1, 2, grid=2).channels(picture) == 4


def test_a_grid_taps_the_picture_before_everything_else() -> None:
    x = inputs(PictureNet, 4)[..., :6, :6]
    model = EditableModel(PictureNet(), ["*"], x[:2], grid=3)
    assert model.tap_specs == (TapSpec("stem", 2 * 9), TapSpec("bn", 8), TapSpec("gn", 8), TapSpec("head", 8, 1))
    assert model.n_features == 2 * (18 + 8 + 8) + 8 + 3
    moments = model(x).moments
    cells = torch.nn.functional.avg_pool2d(x, 2).flatten(1)
    torch.testing.assert_close(moments[:, :36], torch.cat([cells, cells.square()], dim=1))
    plain = EditableModel(model.module, ["bn", "gn", "head"], x[:2])
    torch.testing.assert_close(moments[:, 36:], plain(x).moments)


def test_on_a_grid_of_one_a_cell_is_the_whole_picture() -> None:
    x = inputs(PictureNet, 3)
    means = x.mean(dim=(2, 3))
    found = tap_moments(Tap("t", 1, 2, grid=1), x)
    torch.testing.assert_close(found, torch.cat([means, means.square()], dim=1))


@pytest.mark.parametrize(("kind", "grid"), [(PictureNet, 2), (PictureNet, 7), (PlainNet, 2), (SequenceNet, 2)])
def test_a_grid_that_does_not_divide_is_refused(kind: type[nn.Module], grid: int) -> None:
    with pytest.raises(SpecError, match=rf"does not divide into {grid} × {grid} cells; .* or 0 for none"):
        EditableModel(kind(), ["head"], inputs(kind, 2), grid=grid)


def test_devices_and_training_make_the_same_features_of_a_grid() -> None:
    x = inputs(PictureNet, 12)[..., :6, :6]
    model = EditableModel(PictureNet(), ["*"], x[:2], grid=3).eval()
    with torch.no_grad():
        logits, moments = model(x)
        raw = raw_features(model.tap_specs, moments.reshape(2, 6, -1), logits.reshape(2, 6, -1))
    center, scale = raw.mean(dim=0), raw.std(dim=0) + 0.1
    spec = SketchSpec(model.tap_specs, model.n_classes, center.numpy(), scale.numpy())
    for window, wanted in zip((slice(0, 6), slice(6, 12)), standardise(raw, center, scale), strict=True):
        found = Sketch.of(spec, moments[window].numpy(), logits[window].numpy()).features(spec)
        torch.testing.assert_close(torch.from_numpy(found), wanted, atol=1e-5, rtol=1e-4)
