import pytest
import torch

from persona.adapters.decoders import DeltaDecoder
from persona.backbones.din import DIN
from persona.backbones.edited import CORE, SHIFT, SIDE, Broadcast, EditedHead, deltas_of
from persona.backbones.gru4rec import GRU4Rec
from persona.backbones.sasrec import SASRec
from persona.edit import Edit
from persona.errors import SpecError

WINDOWS = torch.tensor([[0, 3, 1], [2, 4, 6], [0, 0, 0]])


@pytest.fixture(params=[SASRec, GRU4Rec])
def head(request: pytest.FixtureRequest) -> EditedHead:
    torch.manual_seed(0)
    return EditedHead(request.param(6, d=8, length=3), rank=2, side=3)


@pytest.fixture(params=["none", "empty", "zero"])
def at_rest(request: pytest.FixtureRequest, head: EditedHead) -> dict[str, torch.Tensor] | None:
    return {"none": None, "empty": {}, "zero": deltas_of(Edit.zero(head.spec))}[request.param]


def test_a_query_at_rest_is_the_backbones_state_to_the_bit(
    head: EditedHead, at_rest: dict[str, torch.Tensor] | None
) -> None:
    state = head.backbone.state(WINDOWS)
    assert torch.equal(head(WINDOWS, at_rest), torch.cat([state, torch.zeros(3, 3)], dim=1))


def test_a_head_at_rest_scores_as_its_backbone(head: EditedHead, at_rest: dict[str, torch.Tensor] | None) -> None:
    state = head.backbone.state(WINDOWS)
    wanted = head.backbone.scores(state)
    # One product over d + side terms adds in another order than one over d terms: the last bit may differ.
    assert torch.allclose(head.scores(head(WINDOWS, at_rest)), wanted, atol=1e-6)
    # In numbers of which no sum is rounded, no order matters: then every bit is the same.
    with torch.no_grad():
        for values in head.backbone.table():
            values.copy_((values * 64).round() / 64)
    coarse = (state * 64).round() / 64
    assert torch.equal(head.scores(head.query(coarse, at_rest)), head.backbone.scores(coarse))


def test_each_tensor_does_what_the_formula_says(head: EditedHead) -> None:
    state = head.state(WINDOWS)
    deltas = {SHIFT: torch.randn(3, 8), CORE: torch.randn(3, 2, 2), SIDE: torch.randn(3, 3)}
    query = head.query(state, deltas)
    for row in range(3):
        core = head.left @ deltas[CORE][row] @ head.right.T
        wanted = torch.cat([state[row] + deltas[SHIFT][row] + core @ state[row], deltas[SIDE][row]])
        assert torch.allclose(query[row], wanted, atol=1e-5)
    vectors, bias = head.table()
    assert torch.allclose(head.scores(query)[:, 1:], (query @ vectors.T + bias)[:, 1:], atol=1e-5)


def test_a_decoded_edit_fits_and_is_the_same_in_numpy(head: EditedHead) -> None:
    decoder = DeltaDecoder(head.spec, (1, 4), kind="basis")
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(std=5)
    code = torch.randn(1, 1, 4)
    edit = decoder.to_numpy().decode(code[0].numpy()).check(head.spec)
    ours, theirs = head(WINDOWS, {n: x.expand(3, *x.shape[1:]) for n, x in decoder(code).items()}), deltas_of(edit)
    assert torch.allclose(ours, head(WINDOWS, {n: x.expand(3, *x.shape[1:]) for n, x in theirs.items()}), atol=1e-4)


def test_a_broadcast_changes_the_table_alone(head: EditedHead) -> None:
    change = Broadcast(torch.randn(7), torch.randn(7, 8))
    queries = head(WINDOWS)
    moved = head.scores(queries, change) - head.scores(queries)
    assert torch.allclose(moved[:, 1:], (queries[:, :8] @ change.items.T + change.bias)[:, 1:], atol=1e-4)


def test_the_backbone_stays_frozen(head: EditedHead) -> None:
    head.train()
    assert not head.backbone.training
    assert not any(p.requires_grad for p in head.backbone.parameters())


def test_what_cannot_be_edited_is_refused() -> None:
    with pytest.raises(SpecError, match="keeps no state"):
        EditedHead(DIN(6, d=8, length=3))
    with pytest.raises(SpecError, match="rank 9"):
        EditedHead(SASRec(6, d=8, length=3), rank=9)
