"""What holds for every backbone of item sequences: its history, padding, order and batch, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from persona import catalog
from persona.backbones.din import DIN
from persona.backbones.gru4rec import GRU4Rec
from persona.backbones.items import CandidateBackbone, SequenceBackbone
from persona.backbones.sasrec import SASRec
from persona.errors import DataError, SpecError

ITEMS, LENGTH = 12, 6
STATEFUL = pytest.mark.parametrize("kind", [SASRec, GRU4Rec])
EVERY = pytest.mark.parametrize("kind", [SASRec, GRU4Rec, DIN])
HISTORY = torch.tensor([[0, 0, 3, 1, 4], [5, 9, 2, 6, 5], [0, 0, 0, 0, 7]])
CANDIDATES = torch.tensor([[1, 12, 0], [3, 3, 8], [7, 2, 11]])


def net_of(kind: type) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = kind(ITEMS, d=8, length=LENGTH)
    with torch.no_grad():
        for parameter in net.parameters():  # nothing is zero by design, or so small that it hides in a tolerance
            parameter.add_(torch.randn_like(parameter) * 0.3)
        net.items.weight[0] = 0  # type: ignore[union-attr, index]
    return net.eval()


def answers(net: nn.Module, windows: Tensor) -> Tensor:
    """What a net says of every item, however it comes by it."""
    found: Tensor = net.score(windows, torch.arange(1, ITEMS + 1).expand(len(windows), -1))  # type: ignore[operator]
    return found


@pytest.mark.parametrize(("name", "kind"), [("sasrec", SASRec), ("gru4rec", GRU4Rec), ("din", DIN)])
def test_the_catalogue_has_it_and_it_keeps_the_protocol(name: str, kind: type) -> None:
    assert catalog.load("backbones", name) is kind
    assert isinstance(net_of(kind), CandidateBackbone)
    assert isinstance(net_of(kind), SequenceBackbone) == (kind is not DIN)


@EVERY
@pytest.mark.parametrize("windows", [HISTORY, HISTORY.int()], ids=["int64", "int32"])
def test_padding_changes_nothing(kind: type, windows: Tensor) -> None:
    net, wider = net_of(kind), nn.functional.pad(windows, (1, 0))
    torch.testing.assert_close(answers(net, wider), answers(net, windows))
    for row in windows:
        alone = row[row != 0][None]
        torch.testing.assert_close(answers(net, alone)[0], answers(net, windows)[windows.tolist().index(row.tolist())])


@EVERY
def test_batch_mates_do_not_matter(kind: type) -> None:
    net = net_of(kind)
    together = answers(net, HISTORY)
    for row, window in enumerate(HISTORY):
        torch.testing.assert_close(answers(net, window[None])[0], together[row])
    torch.testing.assert_close(answers(net, HISTORY.flip(0)), together.flip(0))


@STATEFUL
def test_no_later_event_changes_a_state(kind: type) -> None:
    net = net_of(kind)
    states = net(HISTORY)
    later = HISTORY.clone()
    later[:, 3:] = torch.tensor([11, 10])
    torch.testing.assert_close(net(later)[:2, :3], states[:2, :3])
    assert not torch.allclose(net(later)[:2, 3:], states[:2, 3:])


@STATEFUL
def test_every_state_is_that_of_the_window_which_ends_there(kind: type) -> None:
    net = net_of(kind)
    states = net(HISTORY)
    for end in range(1, HISTORY.shape[1] + 1):
        torch.testing.assert_close(net.state(HISTORY[:, :end]), states[:, end - 1])


@EVERY
def test_order_and_every_event_matter(kind: type) -> None:
    net, base = net_of(kind), torch.tensor([[1, 2, 3, 4]])
    for other in ([2, 1, 3, 4], [5, 2, 3, 4], [1, 2, 3]):
        assert not torch.allclose(answers(net, torch.tensor([other])), answers(net, base), atol=1e-4)


@STATEFUL
def test_scores_of_some_are_those_of_all_and_padding_is_never_recommended(kind: type) -> None:
    net = net_of(kind)
    whole = net.scores(net.state(HISTORY))
    assert whole.shape == (3, ITEMS + 1)
    assert bool((whole[:, 0] == -torch.inf).all())
    torch.testing.assert_close(net.score(HISTORY, CANDIDATES), whole.gather(1, CANDIDATES))
    vectors, bias = net.table()
    torch.testing.assert_close(whole[:, 1:], (net.state(HISTORY) @ vectors.T + bias)[:, 1:])
    assert net.scores(net(HISTORY)).shape == (3, 5, ITEMS + 1)


def test_a_candidate_of_din_is_scored_apart_from_the_others() -> None:
    net = net_of(DIN)
    found = net.score(HISTORY, CANDIDATES)
    assert found[0, 2] == -torch.inf
    assert found[1, 0] == found[1, 1]
    for column in range(3):
        torch.testing.assert_close(net.score(HISTORY, CANDIDATES[:, column : column + 1])[:, 0], found[:, column])


@STATEFUL
def test_an_empty_history_is_answered_by_what_everybody_likes(kind: type) -> None:
    net = net_of(kind)
    found = net.scores(net.state(torch.zeros(1, 4, dtype=torch.long)))[0]
    torch.testing.assert_close(found[1:], net.bias[1:])


@EVERY
def test_every_parameter_is_used(kind: type) -> None:
    net = net_of(kind).train()
    labels = torch.tensor([3, 1, 9])
    loss = nn.functional.cross_entropy(
        answers(net, torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], [12, 1, 6, 2, 9, 4]])), labels
    )
    loss.backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert bool((net.items.weight.grad[1:].abs().amax(dim=1) > 0).all())  # type: ignore[union-attr, index]


@EVERY
@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ([[1, ITEMS + 1]], "hold items from 1 to 13; wanted 1 to 12"),
        ([[1, -1]], "hold items from -1 to 1"),
        ([[1] * (LENGTH + 1)], "7 events wide; this net reads 1 to 6"),
        ([[]], "0 events wide"),
        ([[1, 0, 2]], "padding after an item"),
    ],
)
def test_bad_windows_are_refused(kind: type, windows: list[list[int]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        answers(net_of(kind), torch.tensor(windows, dtype=torch.long))


@EVERY
@pytest.mark.parametrize("item", [-1, ITEMS + 1])
def test_candidates_that_are_not_there_are_refused(kind: type, item: int) -> None:
    with pytest.raises(DataError, match=r"candidates hold items from .*; wanted 1 to 12"):
        net_of(kind).score(HISTORY[:1], torch.tensor([[3, item]]))


def test_heads_that_do_not_divide_the_state_are_refused() -> None:
    with pytest.raises(SpecError, match="10 numbers a state has 3 heads and 2 blocks"):
        SASRec(ITEMS, d=10, heads=3)
    with pytest.raises(SpecError, match="0 blocks"):
        SASRec(ITEMS, blocks=0)


@EVERY
@pytest.mark.filterwarnings("ignore:The tensor attributes self.gru._flat_weights")  # torch, about its own layer
def test_it_can_be_exported(kind: type) -> None:
    net = net_of(kind)
    program = torch.export.export(net, (HISTORY,) if kind is not DIN else (HISTORY, CANDIDATES))
    other, rest = HISTORY.flip(0), () if kind is not DIN else (CANDIDATES,)
    torch.testing.assert_close(program.module()(other, *rest), net(other, *rest))
