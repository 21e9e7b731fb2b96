import numpy as np
import pytest
import torch

from persona.adapters.heads.adapter import ClosedFormEditor, ConstantEditor, HeadAdapter
from persona.adapters.heads.broadcast import BroadcastMap
from persona.adapters.heads.forms import EditForm
from persona.adapters.heads.readers import PoolingReader
from persona.backbones.edited import EditedHead
from persona.backbones.sasrec import SASRec
from persona.errors import DataError, TrainingError
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.metrics import gains, hits
from persona.training.broadcasts import BroadcastConfig, in_time, period_statistics, train_broadcast
from persona.training.chunks import Chunks
from persona.training.event_features import EventFeatures
from persona.training.heads import HeadConfig, answers, answers_of_net, mean_edit, shuffled_edit, train_editor
from persona.training.ranking import rank_queries
from persona.training.seen import SeenItems
from tests.adapters.heads.worlds import last_events, marked_head, marked_log

CONFIG = HeadConfig(epochs=25, chunks=8, learning_rate=0.02)


@pytest.fixture(scope="module")
def log() -> EventLog:
    return marked_log(120)


@pytest.mark.parametrize("kind", ["pooling", "closed form"])
def test_only_an_adapter_that_reads_the_long_history_can_win(log: EventLog, kind: str) -> None:
    head = marked_head()
    features, asked = EventFeatures.of(head, log), last_events(log)
    form = EditForm(head)
    editor = (
        HeadAdapter(PoolingReader(head.backbone.table()[0], reach=20, heads=2, dropout=0.0), form, code=8)
        if kind == "pooling"
        else ClosedFormEditor(form, head.d, reach=20)
    )
    train_editor(head, editor, features, (asked[:60], asked[60:80]), CONFIG)
    test = asked[80:]
    own = hits(answers(head, editor, features, test).ranks, 1).mean()
    mean = hits(answers(head, editor, features, test, changed=mean_edit).ranks, 1).mean()
    other = hits(
        answers(head, editor, features, test, changed=shuffled_edit(log.users, np.random.default_rng(0))).ranks, 1
    )
    assert own >= 0.95  # the marker lies 12 events back, the device's window holds 10
    assert mean <= 0.75
    assert other.mean() <= 0.75


def test_a_constant_edit_cannot_tell_users_apart(log: EventLog) -> None:
    head = marked_head()
    features, asked = EventFeatures.of(head, log), last_events(log)
    editor = ConstantEditor(EditForm(head))
    found = train_editor(head, editor, features, (asked[:60], asked[60:80]), CONFIG)
    assert max(found) > found[0]
    kept = answers(head, editor, features, asked[60:80])
    assert gains(kept.ranks, 10).mean() == pytest.approx(max(found))  # the best epoch's weights stay
    assert hits(answers(head, editor, features, asked[80:]).ranks, 1).mean() <= 0.75


def test_ranks_at_rest_are_those_of_the_backbone(log: EventLog) -> None:
    head = marked_head()
    features = EventFeatures.of(head, log)
    positions = np.arange(5, 200)
    wanted = rank_queries(head.backbone, log, positions, SeenItems(log))
    assert np.allclose(answers(head, None, features, positions).ranks, wanted)
    assert np.allclose(answers_of_net(head.backbone, features, positions).ranks, wanted)


def test_chunks_hold_every_target_once_with_what_came_before_it(log: EventLog) -> None:
    head = marked_head()
    features = EventFeatures.of(head, log)
    positions = np.sort(np.random.default_rng(0).choice(len(log), 300, replace=False))
    found = []
    for chunk in Chunks(features, positions, 6).batches(7, np.random.default_rng(1)):
        rows, columns = np.nonzero(chunk.wanted.numpy())
        counted = chunk.history.counts(6).numpy()
        for event, row, column in zip(chunk.events, rows, columns, strict=True):
            read = chunk.history.items[row][torch.from_numpy(counted[row, column])]
            assert [0] * (6 - len(read)) + read.tolist() == log.windows(np.asarray([event]), 6)[0].tolist()
            found.append(event)
    assert sorted(found) == positions.tolist()


def test_other_items_and_no_targets_are_refused(log: EventLog) -> None:
    net = SASRec(3, d=8, length=10)
    with pytest.raises(DataError, match="made for 3"):
        EventFeatures.of(EditedHead(net), log)
    with pytest.raises(TrainingError, match="no target"):
        Chunks(EventFeatures.of(marked_head(), log), np.zeros(0, np.int64), 5)
    for wrong in ([4, 2], [3, 3]):
        with pytest.raises(TrainingError, match="give each position once, sorted"):
            Chunks(EventFeatures.of(marked_head(), log), np.asarray(wrong), 5)


def turned_log(users: int = 60, half: int = 6) -> EventLog:
    """In the first half of the time items 1 to 12 are met, in the second 13 to 24."""
    rng = np.random.default_rng(0)
    first = [1 + rng.permutation(12)[:half] for _ in range(users)]
    second = [13 + rng.permutation(12)[:half] for _ in range(users)]
    items = np.concatenate([np.stack(first), np.stack(second)], axis=1).astype(np.int32)
    times = np.tile(np.arange(2 * half, dtype=np.int64), users) * users + np.repeat(np.arange(users), 2 * half)
    names = tuple(f"i{n}" for n in range(24)), tuple(f"u{n}" for n in range(users))
    return EventLog(
        np.repeat(np.arange(users, dtype=np.int32), 2 * half), items.ravel(), times, None, names[1], names[0]
    )


def test_a_broadcast_tells_everybody_what_the_population_does_now() -> None:
    log = turned_log()
    torch.manual_seed(0)
    head = EditedHead(SASRec(24, d=8, length=10, blocks=1, heads=1), rank=2, side=4)
    with torch.no_grad():
        head.backbone.table()[1][1:13] = 1.0
    features = EventFeatures.of(head, log)
    order = in_time(features, np.arange(len(log)))
    trained, recent, validation, test = order[:360], order[360:560], order[560:640], order[640:]
    change = BroadcastMap()
    assert sum(parameter.numel() for parameter in change.parameters()) == 169
    made = train_broadcast(
        head, change, features, (trained, recent), np.sort(validation), BroadcastConfig(steps=60, validate_every=20)
    )
    stale, fresh = (answers(head, None, features, np.sort(test), b) for b in (None, made))
    assert fresh.losses.mean() < stale.losses.mean() - 0.5
    assert made.bias[13:].min() > made.bias[1:13].max()
    assert made.bias[0] == 0
    with pytest.raises(TrainingError, match="no validation queries"):
        train_broadcast(head, change, features, (trained, recent), validation[:0])
    with pytest.raises(TrainingError, match="cannot be cut"):
        train_broadcast(head, change, features, (trained, recent[:7]), validation)


def test_statistics_are_sums_that_match_the_period(log: EventLog) -> None:
    head = marked_head()
    features = EventFeatures.of(head, log)
    period = np.arange(100, 400)
    found = period_statistics(head, features, period, np.arange(100))
    assert found.happened.sum() == found.expected.sum().round() == 300
    assert torch.allclose(found.before.sum(dim=0), torch.zeros(head.d), atol=1e-3)
    with pytest.raises(DataError, match="without events"):
        period_statistics(head, features, period[:0], period)
