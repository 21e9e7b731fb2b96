import numpy as np
import pytest
import torch

from persona.adapters.heads.adapter import ClosedFormEditor
from persona.adapters.heads.forms import EditForm
from persona.backbones.edited import EditedHead
from persona.tasks.recommendation.metrics import gains
from persona.training.event_features import EventFeatures
from persona.training.heads import HeadConfig, answers, train_editor
from persona.training.sampled_candidates import candidate_losses, candidate_scores, negatives_loss
from tests.adapters.heads.worlds import last_events, marked_head, marked_log


def world() -> tuple[EditedHead, EventFeatures]:
    head = marked_head()
    return head, EventFeatures.of(head, marked_log(40))


def test_scores_of_candidates_are_those_of_the_catalogue() -> None:
    head, features = world()
    events = last_events(features.log)
    query, table = head.query(features.states[events]), head.table()
    candidates = np.random.default_rng(0).integers(1, head.n_items + 1, (len(events), 5))
    with torch.no_grad():
        wanted = (query @ table[0].T + table[1]).gather(1, torch.from_numpy(candidates))
        assert torch.allclose(candidate_scores(query, table, candidates), wanted, atol=1e-5)


def test_what_was_met_before_is_no_negative() -> None:
    head, features = world()
    event = last_events(features.log)[:1]
    vectors, bias = head.table()
    bias = bias.detach().clone().requires_grad_()
    query = head.query(features.states[event])
    loss = negatives_loss(query, (vectors, bias), features, event, 200, np.random.default_rng(0))
    (gradient,) = torch.autograd.grad(loss, bias)
    log = features.log
    target, met = int(log.items[event[0]]), np.unique(log.items[: event[0]])
    others = np.setdiff1d(np.arange(1, log.n_items + 1), [target, *met])
    assert not gradient[torch.from_numpy(met.astype(np.int64))].any()
    assert gradient[target] < 0
    assert (gradient[torch.from_numpy(others)] > 0).all()


def test_an_editor_learns_by_negatives_too() -> None:
    head, features = world()
    asked = last_events(features.log)
    editor = ClosedFormEditor(EditForm(head), head.d, reach=20)
    config = HeadConfig(epochs=8, chunks=8, learning_rate=0.02, negatives=4)
    found = train_editor(head, editor, features, (asked[:30], asked[30:]), config)
    assert max(found) > found[0]
    ranks = answers(head, editor, features, asked[30:]).ranks
    assert gains(ranks, 10).mean() == pytest.approx(max(found))


def test_a_sure_and_right_model_has_no_loss() -> None:
    scores = torch.tensor([[50.0, -50.0, -50.0]])
    assert candidate_losses(scores).item() == pytest.approx(0, abs=1e-6)
    assert candidate_losses(-scores).item() > 40
