"""Rows: what each one's name stands for, on one tiny trained seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from persona import catalog
from persona.bench.vision.costs import Traffic, prototype_traffic, sketch_traffic
from persona.bench.vision.roles import CONTROLS as CONTROL_NAMES
from persona.bench.vision.roles import MAIN, WANTED_PEERS, is_ours
from persona.bench.vision.rows import (
    CONTROLS,
    OURS,
    SLOW,
    TRAINED_PEERS,
    WHOLE,
    Trained,
    build,
    rows_of,
    traffic_of,
)
from persona.bench.vision.settings import SETTINGS
from persona.errors import CatalogError, SpecError
from persona.training.step import Learner
from tests.tiny_task import CLASSES

EVERY = (*OURS, *CONTROLS, *TRAINED_PEERS, "static", "alpha-bn", "tests.bench.vision.methods:Guess")


def window(seed: int = 0, count: int = 8) -> Tensor:
    """Return pictures (N, 1, 8, 8), brighter with every seed."""
    dice = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, 8, 8, generator=dice) * (0.3 + 0.1 * seed)


@pytest.mark.parametrize("name", EVERY)
def test_every_row_answers_and_devices_share_nothing(trained: Trained, name: str) -> None:
    make = build(name)(trained)
    used, fresh = make(0), make(0)
    for seed in range(3):
        logits = used.step(window(seed))
        assert logits.shape == (8, CLASSES)
        assert logits.isfinite().all()
        assert not logits.requires_grad
    assert used.answer(window(9)).shape == (8, CLASSES)
    other = make(0)
    for verb in ("answer", "step"):
        assert torch.equal(getattr(other, verb)(window(5)), getattr(fresh, verb)(window(5)))


def under(learner: Learner, x: Tensor, deltas: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return learner.model(x, deltas).logits


@pytest.mark.parametrize("name", ["base", "wider-head", "static"])
def test_plain_nets_are_asked_as_they_are(trained: Trained, name: str) -> None:
    net = {"wider-head": trained.suite.wider, "static": trained.suite.static}.get(name)
    with torch.no_grad():
        wanted = under(trained.suite.learner, window(), {}) if net is None else net(window())
    method = build(name)(trained)(0)
    torch.testing.assert_close(method.step(window()), wanted)
    torch.testing.assert_close(method.answer(window()), wanted)


def test_the_mean_edit_is_that_of_the_pool(trained: Trained) -> None:
    mean = {name: delta.mean(dim=0) for name, delta in trained.kits.pool.items()}
    method = build("mean-edit")(trained)(0)
    for seed in range(2):
        torch.testing.assert_close(method.step(window(seed)), under(trained.suite.learner, window(seed), mean))


def test_a_shuffled_edit_is_one_of_the_pools_and_drawn_by_device_and_seed(trained: Trained) -> None:
    x, pool = window(), trained.kits.pool
    count = len(next(iter(pool.values())))
    every = torch.stack([under(trained.suite.learner, x, {n: d[at] for n, d in pool.items()}) for at in range(count)])

    def drawn(device: int, of: Trained = trained) -> list[int]:
        method = build("shuffled-edit")(of)(device)
        distances = [(every - method.step(x)).abs().amax(dim=(1, 2)) for _ in range(8)]
        assert max(float(d.min()) for d in distances) < 1e-4
        return [int(d.argmin()) for d in distances]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert drawn(0) != drawn(0, replace(trained, seed=1))
    assert len(set(drawn(0))) > 2


def test_the_constant_edit_is_the_same_for_every_window_however_strange(trained: Trained) -> None:
    control = trained.suite.constant
    assert control is not None
    with torch.no_grad():
        code = control.adapter.codes(torch.zeros(1, control.model.n_features))
        deltas = {name: delta[0] for name, delta in control.adapter.decoder(code).items()}
    method = build("constant-edit")(trained)(0)
    for x in (window(0), window(5), 20 * window(1)):
        torch.testing.assert_close(method.step(x), under(control, x, deltas), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(method.answer(x), under(control, x, deltas), atol=1e-4, rtol=1e-4)


def test_without_context_the_learner_has_the_code_of_nothing(trained: Trained) -> None:
    learner, x = trained.suite.learner, window()
    with torch.no_grad():
        code = learner.adapter.codes(torch.zeros(1, learner.model.n_features))
        wanted = under(learner, x, learner.adapter.decoder(code))
    torch.testing.assert_close(build("zero-context")(trained)(0).step(x), wanted, atol=1e-4, rtol=1e-4)


def test_one_prototype_is_the_same_code_for_everybody(trained: Trained) -> None:
    learner, x = trained.suite.learner, window(1)
    bank = trained.kits.banks[1]
    found = trained.kits.kit
    strength = found.gate.weight(learner.features(*_outputs(learner, x), 1)[0].numpy())
    with torch.no_grad():
        learned = learner.learned(torch.from_numpy(bank.codes[:1]), torch.tensor([strength]))
        wanted = learner.run(x, learned).logits
    torch.testing.assert_close(build("persona-k1-no-prior")(trained)(0).step(x), wanted, atol=1e-3, rtol=1e-3)


def _outputs(learner: Learner, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        logits, moments = learner.model(x)
    return moments, logits


def test_settings_that_tuning_chose_are_used(trained: Trained) -> None:
    name = "tests.bench.vision.methods:Guess"
    tuned = replace(trained, chosen={name: {"label": 3}})
    assert build(name)(trained)(0).step(window()).argmax(dim=1).unique().tolist() == [0]
    assert build(name)(tuned)(0).step(window()).argmax(dim=1).unique().tolist() == [3]


def test_an_unknown_row_is_told_with_those_that_there_are() -> None:
    with pytest.raises(CatalogError, match=r"there is no row 'persna'; there are .*persona.*tent.*module:Class"):
        build("persna")


def test_a_class_that_is_not_there_is_told(trained: Trained) -> None:
    with pytest.raises(CatalogError, match="cannot be imported"):
        build("tests.bench.vision.methods:Nobody")(trained)


@pytest.mark.parametrize("name", ["arm-bn", "arm-cml", "duet"])
def test_a_peer_that_was_not_trained_is_told_as_one_that_does_not_suit(trained: Trained, name: str) -> None:
    without = replace(trained, suite=replace(trained.suite, windowed={}))
    with pytest.raises(SpecError, match=f"row '{name}' was not trained"):
        build(name)(without)


@pytest.mark.parametrize("name", ["wider-head", "constant-edit"])
def test_a_control_that_was_not_trained_for_a_seed_is_told(trained: Trained, name: str) -> None:
    build(name)(trained)
    without = replace(trained, suite=replace(trained.suite, wider=None, constant=None))
    with pytest.raises(SpecError, match="for this seed; leave its row out"):
        build(name)(without)


def test_what_travels_is_a_sketch_and_a_code_or_a_prototype(trained: Trained) -> None:
    x, sketch = window(), trained.kits.kit.sketch
    assert traffic_of("persona", trained, x) == sketch_traffic(sketch.n_features, (1, 16), 8)
    assert traffic_of("persona-k16", trained, x) == prototype_traffic(sketch.n_features, 8)
    for alone in ("local-part-alone", "static", "mean-edit", "tent", "arm-bn"):
        assert traffic_of(alone, trained, x) == Traffic()
    assert traffic_of("cema", trained, x).up_bytes % 64 == 0, "whole pictures of 64 pixels"


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_has_its_rows_and_each_once(setting: str) -> None:
    rows, slow = rows_of(setting)
    assert len(set(rows) | set(slow)) == len(rows) + len(slow)
    for name in (*rows, *slow):
        build(name)
    assert {"static", "persona"} <= set(rows)
    if setting.startswith("family-"):
        assert (len(rows), slow) == (3, ())
    elif setting in MAIN:
        assert set(rows) >= set(CONTROL_NAMES)
        assert slow == (SLOW if setting in WHOLE else ())
    else:
        assert {"alpha-bn", "mean-edit", "persona-no-prior"} < set(rows)
        assert slow == ()


def test_what_is_judged_is_run() -> None:
    rows, slow = rows_of("iid-seen")
    assert set(WANTED_PEERS) <= {*rows, *slow}
    assert set(catalog.names("methods")) <= {*rows, *slow}
    assert all(is_ours(name) for name in OURS)
    assert set(CONTROLS) == set(CONTROL_NAMES)
