"""The adapter as a whole, in every combination of its parts, for every backbone."""

from __future__ import annotations

import jaxtyping
import pytest
import torch
from torch.nn import functional as F

from persona.adapters import PersonaAdapter, SketchEncoder
from persona.errors import SpecError
from persona.model import EditableModel
from tests.adapters.building import (
    BACKBONES,
    FEW,
    OPTIONS,
    adapter_for,
    backbone_model,
    contexts,
    label,
    row_of,
    trained,
)
from tests.nets import PlainNet, editable

every = pytest.mark.parametrize("options", OPTIONS, ids=label)
few = pytest.mark.parametrize("options", FEW, ids=label)


@pytest.fixture(scope="module", params=BACKBONES)
def model(request: pytest.FixtureRequest) -> EditableModel:
    return backbone_model(request.param)


@every
def test_step_0_is_the_base_model(model: EditableModel, options: dict[str, str]) -> None:
    adapter = adapter_for(model, **options)
    deltas = adapter(contexts(adapter, model, 3))
    assert tuple(deltas) == model.spec.names
    for tensor in model.spec.tensors:
        assert deltas[tensor.name].shape == (3, *tensor.shape)
        assert torch.equal(deltas[tensor.name], torch.zeros(3, *tensor.shape)), tensor.name
    x = torch.rand(6, *model.input_shape)
    torch.testing.assert_close(model(x, deltas).logits, model(x).logits, atol=1e-6, rtol=1e-6)


@every
def test_every_parameter_is_registered_and_trained(model: EditableModel, options: dict[str, str]) -> None:
    """At step 0 the maps' last factors are zero, so no gradient passes them to the code and the encoder; after a step
    of those factors, one passes to every parameter."""
    adapter = adapter_for(model, **options)
    x, y = torch.rand(6, *model.input_shape), torch.arange(6)
    before = {name: value.clone() for name, value in adapter.state_dict().items()}
    optimizer = torch.optim.Adam(adapter.parameters(), lr=0.01)
    assert {id(p) for p in adapter.parameters()} == {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert adapter.context == {"sketch": "sketch", "images": "samples", "both": "both"}[options["encoder"]]
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(x, adapter(contexts(adapter, model, 3))).logits, y).backward()
        optimizer.step()
    for name, parameter in adapter.named_parameters():
        assert name in before
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
        assert not torch.equal(parameter, before[name]), name
    assert before.keys() - dict(adapter.named_parameters()).keys() <= {"transfer.descriptors"}


@few
def test_a_saved_adapter_is_the_same_adapter(model: EditableModel, options: dict[str, str]) -> None:
    adapter = trained(adapter_for(model, **options))
    again = adapter_for(model, seed=99, **options)
    context = contexts(adapter, model, 2)
    again.load_state_dict(adapter.state_dict())
    found, wanted = again(context), adapter(context)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@few
def test_deltas_stay_within_their_bounds(model: EditableModel, options: dict[str, str]) -> None:
    adapter = trained(adapter_for(model, **options))
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.mul_(30)
    deltas = adapter(contexts(adapter, model, 3))
    for tensor in model.spec.tensors:
        largest = float(deltas[tensor.name].detach().abs().max())
        assert 0.9 * tensor.bound < largest <= tensor.bound * (1 + 1e-6), tensor.name


@few
def test_an_edit_does_not_depend_on_batch_mates(model: EditableModel, options: dict[str, str]) -> None:
    adapter = trained(adapter_for(model, **options))
    context = contexts(adapter, model, 4)
    together = adapter(context)
    for row in range(4):
        alone = adapter(row_of(context, row))
        for tensor in model.spec.tensors:
            found, wanted = together[tensor.name][row], alone[tensor.name][0]
            torch.testing.assert_close(found, wanted, atol=1e-4 * tensor.bound, rtol=0)


@few
def test_codes_are_of_one_length_and_of_the_shape_told(model: EditableModel, options: dict[str, str]) -> None:
    adapter = trained(adapter_for(model, **options))
    codes = adapter.codes(contexts(adapter, model, 5))
    rows = 1 if options["transfer"] == "shared" else len(model.spec.layers)
    assert codes.shape == (5, *adapter.code_shape) == (5, rows, 8)
    torch.testing.assert_close(codes.norm(dim=2), torch.full((5, rows), 8**0.5), rtol=1e-3, atol=0)
    assert (codes[0] - codes[1]).abs().max() > 0.01


@few
def test_parts_that_are_unknown_or_leave_no_room_are_refused(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is outside tests
    model = editable(PlainNet)
    encoder = SketchEncoder(model.n_features)
    chosen = {"transfer": options["transfer"], "decoder": options["decoder"]}
    for wrong, message in [
        (
            {"transfer": "telepathy"},
            "transfer 'telepathy' is unknown; wanted one of shared, autoregressive, stacked, attention, none",
        ),
        ({"decoder": "tarot"}, "decoder 'tarot' is unknown; wanted one of kernel, basis, dense"),
        ({"code": 1}, "wanted rank 1 and width 2, or more"),
        ({"rank": 0}, "wanted rank 1 and width 2, or more"),
    ]:
        with pytest.raises(SpecError, match=message):
            PersonaAdapter(model.spec, encoder, **{**chosen, **wrong})  # type: ignore[arg-type]
