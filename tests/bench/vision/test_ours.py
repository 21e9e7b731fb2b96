"""Our row over a world with known edits: which edit is in force in which window, and what resets it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from persona.bench.vision.drive import follow
from persona.bench.vision.ours import Edited, Fixed, Kit, Options, Persona
from persona.bench.vision.rows import Trained
from persona.edit import Array
from persona.errors import DataError
from persona.prior import PriorState, class_features
from persona.sketch import Sketch
from persona.training.step import Learner
from tests.adapters.building import trained as as_trained
from tests.bench.vision.devices import SIZE, WORLD, kit, learner, window, windows

PLAIN = Options(prior=False)
KIT = kit()


def under(x: Array, code: Array | None) -> Tensor:
    """Return the world's logits under a code's edit, or without one."""
    return torch.from_numpy(WORLD.logits(x, None if code is None else WORLD.decoder.decode(code)))


def code_of(*parts: Array) -> Array:
    """Return the code that the perfect adapter gives for samples: the sign of one mean, and another mean."""
    means = np.concatenate(parts).mean(axis=0)
    return np.array([[np.sign(means[3]), means[2]]], np.float32)


def same(found: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(found, wanted, atol=1e-4)


def x_of(domain: int, threshold: float = 0.0, seed: int = 0) -> Tensor:
    return torch.from_numpy(window(domain, threshold, seed)[0])


def test_with_its_own_edit_no_window_has_a_mistake() -> None:
    stream = list(windows([(1, 0), (1, 0), (-1, 0), (-1, 0), (1, 0)]))
    (track,) = follow(lambda device: Persona(KIT, PLAIN), [stream])
    assert track.same == [SIZE] * 5
    assert track.causal == [SIZE] * 5, "after a jump the nearest prototype answers, and here it is right"
    assert track.refused == 0


def test_without_the_guard_the_first_window_after_a_jump_is_answered_by_the_edit_that_is_over() -> None:
    stream = list(windows([(1, 0), (1, 0), (-1, 0), (-1, 0), (1, 0)]))
    (track,) = follow(lambda device: Persona(KIT, replace(PLAIN, guard=False, memory=1)), [stream])
    assert track.causal[2] == track.causal[4] == 0, "the edit of the other domain is wrong of every sample"
    assert track.causal[1] == track.causal[3] == SIZE
    assert track.same == [SIZE] * 5


def test_a_jump_starts_the_memory_over() -> None:
    """A device that met another domain first steps as one that has just been switched on."""
    old, fresh = Persona(KIT, PLAIN), Persona(KIT, PLAIN)
    for seed in range(3):
        old.step(x_of(1, 0.4, seed))
    for seed in (7, 8):
        x = x_of(-1, -0.4, seed)
        assert torch.equal(old.step(x), fresh.step(x))
        assert torch.equal(old.answer(x), fresh.answer(x))


def test_without_the_guard_the_memory_goes_on() -> None:
    device = Persona(KIT, replace(PLAIN, guard=False))
    parts = [window(1, 0.4, seed)[0] for seed in range(2)] + [window(-1, -0.4, 5)[0]]
    for part in parts[:2]:
        device.step(torch.from_numpy(part))
    assert same(device.step(torch.from_numpy(parts[2])), under(parts[2], code_of(*parts)))


@pytest.mark.parametrize("memory", [1, 2, 4])
def test_a_sketch_is_of_the_last_windows_of_one_domain(memory: int) -> None:
    device = Persona(KIT, replace(PLAIN, memory=memory))
    parts = [window(1, 0.5, seed)[0] for seed in range(6)]
    for at, part in enumerate(parts):
        wanted = under(part, code_of(*parts[max(at + 1 - memory, 0) : at + 1]))
        assert same(device.step(torch.from_numpy(part)), wanted), at


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_a_reply_arrives_so_many_windows_late(delay: int) -> None:
    """The window's threshold says which reply an answer is under; before the first one there is no edit."""
    device = Persona(KIT, replace(PLAIN, guard=False, memory=1, delay=delay))
    parts = [window(1, 0.5 * at, at)[0] for at in range(6)]
    for at, part in enumerate(parts):
        x = torch.from_numpy(part)
        code = code_of(parts[at - delay]) if at >= delay else None
        assert same(device.answer(x), under(part, code)), at
        assert same(device.step(x), under(part, code_of(part))), "its own window's edit is never late"


def test_until_the_reply_arrives_the_nearest_prototype_answers() -> None:
    device = Persona(KIT, replace(PLAIN, delay=3))
    for at in range(4):
        x = x_of(-1, 0.4, at)
        assert same(device.answer(x), under(x.numpy(), WORLD.bank.codes[1])) == (at < 3), at
        device.step(x)


def test_a_reply_for_a_domain_that_is_over_never_arrives() -> None:
    stream = list(windows([(1, 0), (1, 0), (1, 0), (-1, 0), (-1, 0), (-1, 0)]))
    (track,) = follow(lambda device: Persona(KIT, replace(PLAIN, delay=3)), [stream])
    assert track.causal == [SIZE] * 6


def test_a_reply_may_be_a_prototype_alone() -> None:
    bank = KIT.bank
    device = Persona(KIT, replace(PLAIN, reply=lambda code: bank.codes[int(bank.assign(code)[0])]))
    for domain, prototype in ((1, 0), (-1, 1)):
        x = x_of(domain, 0.8)
        assert same(device.step(x), under(x.numpy(), bank.codes[prototype]))
        assert not same(under(x.numpy(), bank.codes[prototype]), under(x.numpy(), code_of(x.numpy())))


def test_answering_changes_nothing() -> None:
    asked, quiet = Persona(KIT), Persona(KIT)
    for seed, domain in enumerate((1, 1, -1, -1)):
        x, other = x_of(domain, 0.3, seed), x_of(-domain, 0.9, seed + 50)
        for _ in range(2):
            asked.answer(other)
        assert torch.equal(asked.step(x), quiet.step(x))
        assert torch.equal(asked.answer(x), quiet.answer(x))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_a_broken_window_is_refused_and_leaves_no_trace(value: float) -> None:
    device, twin = Persona(KIT), Persona(KIT)
    for seed, domain in enumerate((1, 1, -1)):
        broken = x_of(domain, 0.3, seed)
        broken[3, 1] = value
        for verb in (device.step, device.answer):
            with pytest.raises(DataError, match="1 of a window's 32 samples are not finite; leave those out"):
                verb(broken)
        x = x_of(domain, 0.3, seed)
        assert torch.equal(device.step(x), twin.step(x))
        assert torch.equal(device.answer(x), twin.answer(x))
    with pytest.raises(DataError):
        device.step(x_of(1)[:0])


def test_a_strange_sketch_gets_no_learned_edit_and_no_prior() -> None:
    strange, x = kit(weight=0.0, towards=5.0), x_of(-1, 0.3)
    assert same(Persona(strange).step(x), under(x.numpy(), None))
    assert same(Persona(strange).answer(x), under(x.numpy(), None))
    ungated = Persona(strange, replace(PLAIN, gated=False))
    assert same(ungated.step(x), under(x.numpy(), code_of(x.numpy())))


def test_without_the_learned_part_the_base_is_left() -> None:
    x = x_of(-1, 0.3)
    assert same(Persona(KIT, replace(PLAIN, learned=False)).step(x), under(x.numpy(), None))


def test_the_prior_is_that_of_the_windows_until_now_and_starts_over_with_a_jump() -> None:
    known = kit(towards=0.5)
    device, state = Persona(known), PriorState.empty(2)
    for seed, domain in enumerate((1, 1, -1)):
        x = x_of(domain, 0.6, seed)
        state = PriorState.empty(2) if domain < 0 else state
        remembered = [window(domain, 0.6, s)[0] for s in range(seed + 1)] if domain > 0 else [x.numpy()]
        logits = under(x.numpy(), code_of(*remembered))
        state = state.after(logits.numpy())
        bias = known.prior.bias(class_features(state, logits.numpy()))
        assert np.abs(bias).max() > 0.05
        assert same(device.step(x), logits + torch.from_numpy(bias))


def test_a_blind_device_is_told_nothing() -> None:
    """Zero features are no domain and threshold 0: the code of nothing."""
    blind = replace(KIT, learner=replace(KIT.learner, blind=True))
    for domain in (1, -1):
        x = x_of(domain, 0.5)
        found = Persona(blind, replace(PLAIN, guard=False)).step(x)
        assert same(found, under(x.numpy(), np.zeros((1, 2), np.float32)))


def closed(found: Kit) -> Kit:
    """Return a kit whose gate takes every sketch for a strange one."""
    limits = np.array([1e-6, 1e-6, 1, 2], np.float32)
    return replace(found, gate=replace(found.gate, center=found.gate.center + 1, limits=limits))


def test_a_closed_gate_gives_the_local_part_alone(trained: Trained) -> None:
    """On a net with batch normalisation that part is what the device's own statistics say."""
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = trained.kits.kit
    with torch.no_grad():
        logits = found.learner.model(x).logits
        wanted = found.learner.run(x, {}).logits
    torch.testing.assert_close(Persona(closed(found), PLAIN).step(x), wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(wanted, logits, atol=1e-3)
    neither = Persona(closed(found), replace(PLAIN, local=False)).step(x)
    torch.testing.assert_close(neither, logits, atol=1e-4, rtol=1e-4)


def test_one_window_is_edited_as_training_edits_it(trained: Trained) -> None:
    """The device's sketch and edit, in numpy and torch, against the learner's own forward pass."""
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    found: Learner = trained.kits.kit.learner
    with torch.no_grad():
        wanted = found.run(x, found.learned(found.see(x.unsqueeze(0)).codes)).logits
    torch.testing.assert_close(
        Persona(trained.kits.kit, replace(PLAIN, gated=False)).step(x), wanted, atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(Edited(found).step(x), wanted, atol=1e-4, rtol=1e-4)


def test_an_edit_of_partial_strength_lies_between(trained: Trained) -> None:
    """The gate's weight of this very window is the strength of the learned part."""
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    found = trained.kits.kit
    spec = found.sketch
    with torch.no_grad():
        logits, moments = found.learner.model(x)
        features = Sketch.of(spec, moments.numpy(), logits.numpy()).features(spec)
        distance = found.gate.distance(features)
        limits = np.array([*found.gate.limits[:2], 0.5 * distance, 1.5 * distance], np.float32)
        half = replace(found, gate=replace(found.gate, limits=limits))
        learner = found.learner
        wanted = learner.run(x, learner.learned(learner.see(x.unsqueeze(0)).codes, torch.tensor([0.5]))).logits
    torch.testing.assert_close(Persona(half, PLAIN).step(x), wanted, atol=1e-4, rtol=1e-4)


def wild(found: Kit) -> Kit:
    """Return a kit whose adapter gives every window an edit of its own."""
    adapter = as_trained(copy.deepcopy(found.learner.adapter)).eval()
    return replace(found, learner=replace(found.learner, adapter=adapter))


def pictures(count: int) -> list[Tensor]:
    """Return windows (8, 1, 8, 8), each lighter and of more contrast than the last."""
    dice = torch.Generator().manual_seed(3)
    return [0.2 * at + (0.3 + 0.3 * at) * torch.rand(8, 1, 8, 8, generator=dice) for at in range(count)]


def settled(learner: Learner, edit_of: Tensor, statistics_of: Tensor) -> dict[str, Tensor]:
    """Return one window's learned edit with another one's statistics in it."""
    learned = learner.learned(learner.see(edit_of.unsqueeze(0)).codes)
    return learner.settle(learner.run(statistics_of, learned).moments, learned, 1)


@pytest.mark.parametrize("delay", [1, 2])
def test_the_edit_in_force_is_the_reply_with_the_statistics_of_the_last_window(trained: Trained, delay: int) -> None:
    """A reply that comes late is settled by a run of its own: what it says is old, the statistics are new."""
    found = wild(trained.kits.kit)
    alone = replace(PLAIN, guard=False, gated=False, memory=1, delay=delay)
    device, learner, parts = Persona(found, alone), found.learner, pictures(4)
    with torch.no_grad():
        for at, x in enumerate(parts[:3]):
            own = learner.run(x, learner.learned(learner.see(x.unsqueeze(0)).codes)).logits
            torch.testing.assert_close(device.step(x), own, atol=1e-4, rtol=1e-4)
            later = parts[at + 1]
            if at + 1 < delay:
                wanted = learner.run(later, {}).logits  # nothing has arrived yet
            else:
                wanted = learner.model(later, settled(learner, parts[at + 1 - delay], x)).logits
            torch.testing.assert_close(device.answer(later), wanted, atol=1e-4, rtol=1e-4)
        edits = [settled(learner, parts[a], parts[b]) for a, b in ((1, 2), (2, 2), (1, 1))]
        late, new, old = (learner.model(parts[3], edit).logits for edit in edits)
    assert all((one - other).abs().max() > 1e-2 for one, other in ((late, new), (late, old), (new, old)))


def test_without_the_local_part_the_edit_in_force_is_the_reply_alone(trained: Trained) -> None:
    found = wild(trained.kits.kit)
    device = Persona(found, replace(PLAIN, guard=False, gated=False, memory=1, delay=2, local=False))
    learner, parts = found.learner, pictures(3)
    for x in parts[:2]:
        device.step(x)
    with torch.no_grad():
        learned = learner.learned(learner.see(parts[0].unsqueeze(0)).codes)
        wanted = learner.model(parts[2], learned).logits
    torch.testing.assert_close(device.answer(parts[2]), wanted, atol=1e-4, rtol=1e-4)


def test_an_ablations_next_window_runs_under_the_settled_edit(trained: Trained) -> None:
    learner, (first, second) = wild(trained.kits.kit).learner, pictures(2)
    device = Edited(learner)
    with torch.no_grad():
        device.step(first)
        wanted = learner.model(second, settled(learner, first, first)).logits
    torch.testing.assert_close(device.answer(second), wanted, atol=1e-4, rtol=1e-4)


def test_what_ablations_compare_is_each_windows_own_edit() -> None:
    device = Edited(learner())
    first, second = window(1, 0.5, 0)[0], window(-1, 0.2, 1)[0]
    assert same(device.answer(torch.from_numpy(first)), under(first, None))
    assert same(device.step(torch.from_numpy(first)), under(first, code_of(first)))
    assert same(device.answer(torch.from_numpy(second)), under(second, code_of(first)))
    assert same(device.step(torch.from_numpy(second)), under(second, code_of(second)))


def test_controls_draw_anew_for_every_window() -> None:
    codes = iter([WORLD.code(1), WORLD.code(-1, 0.5)])
    device = Fixed(learner(), lambda: learner().adapter.decoder(torch.from_numpy(next(codes))[None]))
    x = window(1, 0.5)[0]
    assert same(device.step(torch.from_numpy(x)), under(x, WORLD.code(1)))
    assert same(device.answer(torch.from_numpy(x)), under(x, WORLD.code(-1, 0.5)))
