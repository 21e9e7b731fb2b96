"""What every editor of heads has to keep, whatever it generates."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from persona.adapters.heads.adapter import ClosedFormEditor, ConstantEditor, HeadAdapter
from persona.adapters.heads.faithful import FaithfulEditor, FaithfulGroups
from persona.adapters.heads.forms import ApgForm, EditForm, FilmForm, ReplacedForm
from persona.adapters.heads.groups import GroupEditor
from persona.adapters.heads.history import History, age_buckets
from persona.adapters.heads.readers import PoolingReader
from persona.backbones.edited import EditedHead
from persona.edit import Edit
from persona.training.chunks import Chunks
from persona.training.event_features import EventFeatures
from tests.adapters.heads.worlds import ITEMS, last_events, marked_head, marked_log

TEXTS = torch.randn(ITEMS + 1, 5, generator=torch.Generator().manual_seed(1))


def pooled(head: EditedHead) -> PoolingReader:
    return PoolingReader(head.backbone.table()[0], TEXTS, reach=12, heads=2)


MAKERS: dict[str, Callable[[EditedHead], nn.Module]] = {
    "ours": lambda head: HeadAdapter(pooled(head), EditForm(head), code=4, least=1),
    "film": lambda head: HeadAdapter(pooled(head), FilmForm(head), code=4, least=1),
    "duet": lambda head: HeadAdapter(pooled(head), ReplacedForm(head), code=4, least=1),
    "apg": lambda head: HeadAdapter(pooled(head), ApgForm(head, rank=2), code=4, least=1),
    "constant": lambda head: ConstantEditor(EditForm(head)),
    "closed-form": lambda head: ClosedFormEditor(EditForm(head), head.d, reach=12, least=1),
    "faithful": lambda head: FaithfulEditor(head, head.backbone.table()[0], code=4),
    "faithful-groups": lambda head: FaithfulGroups(
        FaithfulEditor(head, head.backbone.table()[0], code=4),
        torch.randn(2, 2, 4, generator=torch.Generator().manual_seed(2)),
    ),
    "groups": lambda head: GroupEditor(EditForm(head), head.backbone.table()[0], torch.randn(3, head.d), reach=12),
}


@pytest.fixture(params=sorted(MAKERS))
def made(request: pytest.FixtureRequest) -> tuple[EditedHead, nn.Module]:
    head = marked_head()
    return head, MAKERS[request.param](head).eval()


def disturbed(editor: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in editor.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return editor


def chunk_of(head: EditedHead, users: int, every: bool = True) -> tuple[History, torch.Tensor, torch.Tensor]:
    log = marked_log(users)
    features = EventFeatures.of(head, log)
    positions = np.arange(len(log)) if every else last_events(log)
    chunk = next(Chunks(features, positions, 12).batches(64))
    return chunk.history, chunk.wanted, features.states[chunk.events]


def test_step_0_is_the_base(made: tuple[EditedHead, nn.Module]) -> None:
    head, editor = made
    history, wanted, states = chunk_of(head, 3)
    query = editor.form.query(states, {n: x[wanted] for n, x in editor(history).items()})
    assert torch.equal(query, head.query(states))


def test_an_edit_is_finite_within_bounds_and_a_value(made: tuple[EditedHead, nn.Module]) -> None:
    head, editor = made
    for parameter in editor.parameters():
        nn.init.normal_(parameter, std=50.0)
    deltas = editor(chunk_of(head, 3)[0])
    Edit({name: values[1, 2].detach().numpy() for name, values in deltas.items()}).check(editor.form.spec)


def test_a_gradient_reaches_every_parameter(made: tuple[EditedHead, nn.Module]) -> None:
    head, editor = made
    history, wanted, states = chunk_of(head, 8)
    deltas = {n: x[wanted] for n, x in disturbed(editor)(history).items()}
    (editor.form.query(states, deltas) * torch.randn(len(states), head.d + head.side)).sum().backward()
    without = [n for n, p in editor.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    # What the head shares with an editor is trained through the catalogue.
    assert [name for name in without if not name.startswith("form.head.")] == []


def test_batch_mates_and_padding_have_no_share(made: tuple[EditedHead, nn.Module]) -> None:
    head, editor = made
    disturbed(editor)
    history, wanted, _ = chunk_of(head, 4, every=False)
    together = editor(history)
    longer = History(
        torch.cat([torch.zeros(1, 3, dtype=torch.long), history.items[:1]], dim=1),
        torch.cat([torch.zeros(1, 3, head.d), history.surprise[:1]], dim=1),
        torch.cat([history.distance[:1, :, :1] + torch.tensor([3, 2, 1]), history.distance[:1]], dim=2),
        torch.cat([torch.zeros(1, 1, 3, dtype=torch.long), history.ages[:1]], dim=2),
    )
    for name, values in editor(longer).items():
        assert torch.allclose(values[0], together[name][0], atol=1e-5)
    assert wanted.all()


def test_nothing_at_or_after_a_target_has_a_share(made: tuple[EditedHead, nn.Module]) -> None:
    head, editor = made
    disturbed(editor)
    history, _, _ = chunk_of(head, 1)
    target = 5
    later = history.distance[0, target] < 1
    items = torch.where(later & (history.items[0] != 0), 1 + history.items[0] % ITEMS, history.items[0])
    surprise = torch.where(later[:, None], history.surprise + 7, history.surprise)
    changed = History(items[None], surprise, history.distance, history.ages)
    for name, values in editor(changed).items():
        assert torch.allclose(values[0, target], editor(history)[name][0, target], atol=1e-6)


def test_an_empty_history_has_a_finite_edit(made: tuple[EditedHead, nn.Module]) -> None:
    head, editor = made
    disturbed(editor)
    nothing = History(
        torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1, head.d), torch.ones(2, 1, 1, dtype=torch.long),
        torch.zeros(2, 1, 1, dtype=torch.long),
    )  # fmt: skip
    for values in editor(nothing).values():
        assert torch.isfinite(values).all()
        assert torch.allclose(values[0], values[1])


def test_too_short_a_history_leaves_the_head_at_rest() -> None:
    head = marked_head()
    editor = disturbed(HeadAdapter(pooled(head), EditForm(head), code=4, least=3)).eval()
    history, _, _ = chunk_of(head, 1)
    for values in editor(history).values():
        assert not values[0, :3].any()
        assert values[0, 3].any()


def test_ages_are_told_apart_by_their_power_of_two() -> None:
    buckets = age_buckets(torch.tensor([0, 60, 3600, 86400, 10**9]))
    assert buckets.tolist() == [1, 1, 6, 11, 23]
