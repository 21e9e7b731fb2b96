"""Training of sequence backbones, on a world in which each item has one successor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from persona.backbones.din import DIN
from persona.backbones.gru4rec import GRU4Rec
from persona.backbones.sasrec import SASRec
from persona.errors import DataError, TrainingError
from persona.tasks.recommendation.splits import leave_one_out
from persona.training.ranking import rank_queries
from persona.training.seen import SeenItems
from persona.training.sequence_checkpoint import SNAPSHOT_FILE
from persona.training.sequences import SequenceConfig, train_sequences
from tests.training.logs import cycle, log_of

ITEMS = 20
LOG = cycle(users=60, events=12, items=ITEMS)
SPLIT = leave_one_out(LOG)
QUICK = SequenceConfig(epochs=15, batch=8, learning_rate=2e-2, warm_up=0.1)


def net_of(kind: type = SASRec, seed: int = 0, dropout: float = 0.1) -> nn.Module:
    torch.manual_seed(seed)
    net: nn.Module = kind(ITEMS, d=16, length=6, dropout=dropout)
    return net


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (SASRec, QUICK),
        (GRU4Rec, QUICK),
        (SASRec, replace(QUICK, loss="sampled", samples=10)),
        (SASRec, replace(QUICK, loss="negatives", negatives=2, epochs=30)),
        (SASRec, replace(QUICK, stride=2, batch=24)),
        (DIN, replace(QUICK, loss="negatives", negatives=4, epochs=30)),
    ],
    ids=["sasrec", "gru4rec", "sampled", "negatives", "stride", "din"],
)
def test_the_successor_is_learned(kind: type, config: SequenceConfig) -> None:
    net = net_of(kind)
    history = train_sequences(net, LOG, SPLIT, config)
    ranks = rank_queries(net, LOG, SPLIT.test, SeenItems(LOG))  # type: ignore[arg-type]
    assert (ranks == 1).mean() > 0.97
    assert history.validation[history.best] > 0.97
    assert history.losses[-1] < history.losses[0]
    assert not net.training


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    config, whole, cut = replace(QUICK, epochs=4), net_of(), net_of()
    wanted = train_sequences(whole, LOG, SPLIT, config)

    class Interruption(Exception):
        pass

    def stop(step: int, steps: int, loss: float) -> None:
        if step > steps / 2 + 2:
            raise Interruption

    with pytest.raises(Interruption):
        train_sequences(cut, LOG, SPLIT, config, stop, folder=tmp_path)
    fresh = net_of(seed=5)
    found = train_sequences(fresh, LOG, SPLIT, config, folder=tmp_path)
    assert found == wanted
    assert same(fresh, whole)
    again = net_of(seed=6)
    assert train_sequences(again, LOG, SPLIT, config, folder=tmp_path) == wanted
    assert same(again, whole)


def test_one_seed_gives_one_net_and_leaves_the_dice_alone() -> None:
    nets = [net_of() for _ in range(3)]
    before = torch.random.get_rng_state()
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        train_sequences(net, LOG, SPLIT, replace(QUICK, epochs=2, seed=seed))
    assert torch.equal(before, torch.random.get_rng_state())
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


def test_the_best_epochs_weights_stay_and_patience_ends_it() -> None:
    net = net_of()
    config = replace(QUICK, epochs=40, patience=2, learning_rate=0.5, warm_up=0.0)  # far too fast: it gets no better
    history = train_sequences(net, LOG, SPLIT, config)
    assert len(history.validation) == history.best + 3 < 40
    ranks = rank_queries(net, LOG, SPLIT.validation, SeenItems(LOG))  # type: ignore[arg-type]
    gains = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean()
    assert gains == pytest.approx(history.validation[history.best])


def test_progress_is_told_after_every_step() -> None:
    told: list[tuple[int, int, float]] = []
    train_sequences(net_of(), LOG, SPLIT, replace(QUICK, epochs=2), lambda *what: told.append(what))
    assert [step for step, _, _ in told] == list(range(1, len(told) + 1))
    assert all(step <= steps for step, steps, _ in told)
    assert all(np.isfinite(loss) for _, _, loss in told)


def test_validation_may_look_at_some_queries_only() -> None:
    config = replace(QUICK, epochs=1, validated=7)
    value = train_sequences(net_of(), LOG, SPLIT, config).validation[0]
    assert value != train_sequences(net_of(), LOG, SPLIT, replace(config, validated=20_000)).validation[0]


class Broken(SASRec):
    """A net that loses itself."""

    def forward(self, windows: Tensor) -> Tensor:
        states: Tensor = super().forward(windows) * torch.nan
        return states


def test_a_loss_that_is_not_finite_ends_it() -> None:
    with pytest.raises(TrainingError, match="the loss is nan at step 0"):
        train_sequences(net_of(Broken), LOG, SPLIT, QUICK)


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Linear is no sequence backbone"):
        train_sequences(nn.Linear(2, 2), LOG, SPLIT, QUICK)
    with pytest.raises(DataError, match="the log has 20 items and the net was made for 3"):
        train_sequences(SASRec(3, d=4), LOG, SPLIT, QUICK)
    with pytest.raises(TrainingError, match="loss 'hinge' is unknown; wanted full, sampled or negatives"):
        train_sequences(net_of(), LOG, SPLIT, replace(QUICK, loss="hinge"))  # type: ignore[arg-type]
    for wrong in (replace(QUICK, epochs=0), replace(QUICK, batch=0)):
        with pytest.raises(TrainingError, match="do nothing; give at least 1"):
            train_sequences(net_of(), LOG, SPLIT, wrong)
    with pytest.raises(TrainingError, match="no validation queries"):
        train_sequences(net_of(), LOG, replace(SPLIT, validation=np.zeros(0, np.int64)), QUICK)
    alone = log_of([1], [2], n_items=ITEMS)
    with pytest.raises(TrainingError, match="has another of its user before it"):
        train_sequences(net_of(), alone, replace(SPLIT, train=np.array([0, 1])), QUICK)


def test_what_is_kept_of_another_training_or_damaged_is_refused(tmp_path: Path) -> None:
    config = replace(QUICK, epochs=1)
    train_sequences(net_of(), LOG, SPLIT, config, folder=tmp_path)
    with pytest.raises(TrainingError, match="is of a training with"):
        train_sequences(net_of(), LOG, SPLIT, replace(config, seed=3), folder=tmp_path)
    with pytest.raises(TrainingError, match="is of a training with"):
        train_sequences(net_of(), LOG, replace(SPLIT, train=SPLIT.train[:-1]), config, folder=tmp_path)
    with pytest.raises(TrainingError, match="damaged, or of another net"):
        train_sequences(net_of(GRU4Rec), LOG, SPLIT, config, folder=tmp_path)
    kept = tmp_path / SNAPSHOT_FILE
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(TrainingError, match="damaged, or of another net"):
        train_sequences(net_of(), LOG, SPLIT, config, folder=tmp_path)
