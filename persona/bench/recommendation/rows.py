"""The rows by name: from the workbench of a seed to answers to the test queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import nn

from persona.adapters.heads.adapter import ClosedFormEditor, ConstantEditor, HeadAdapter, HeadEditor
from persona.adapters.heads.faithful import FaithfulEditor, FaithfulGroups, code_centres
from persona.adapters.heads.forms import ApgForm, EditForm, FilmForm, Form, ReplacedForm
from persona.adapters.heads.groups import GroupEditor, centres_of, mean_vectors
from persona.adapters.heads.readers import PoolingReader
from persona.backbones.edited import SHIFT, Broadcast, EditedHead
from persona.backbones.items import SequenceBackbone
from persona.bench.recommendation.finetune import fine_tuned
from persona.bench.recommendation.plan import SYNTHETIC
from persona.bench.recommendation.requests import Streams, requested
from persona.bench.recommendation.workbench import Workbench
from persona.errors import CatalogError, DataError
from persona.tasks.recommendation.counters import ItemKnn, Markov, Popularity, choose_blend, scored
from persona.tasks.recommendation.counters.base import Counter
from persona.tasks.recommendation.events import EventLog, Positions
from persona.tasks.recommendation.ranking import rank_targets
from persona.training.chunks import Chunks
from persona.training.heads import (
    Answers,
    Changed,
    answers,
    answers_of_net,
    mean_edit,
    shuffled_edit,
)

Row = Callable[[Workbench], Answers]
COUNTED = 50  # events that counters read
GROUPS = 8
OURS = "ours"


def popularity(bench: Workbench) -> Answers:
    """What everybody likes; fitted, as every counter is, on all that may be learnt from by now."""
    return _counted(bench, Popularity.fit(_known(bench)))


def markov(bench: Workbench) -> Answers:
    """What comes next after the last item."""
    return _counted(bench, Markov.fit(_known(bench)))


def blend(bench: Workbench) -> Answers:
    """Markov, neighbours and popularity, with weights chosen on validation queries."""
    log = _known(bench)
    counters = (Markov.fit(log), ItemKnn.fit(log), Popularity.fit(log))
    found = choose_blend(counters, bench.world.log, bench.world.base.validation, COUNTED)
    return _counted(bench, found)


def base(bench: Workbench) -> Answers:
    """The base as it is."""
    return answers(bench.head(), None, bench.features, bench.world.base.test)


def longer(bench: Workbench) -> Answers:
    """The base with more epochs."""
    return _of_net(bench, bench.longer())


def wider(bench: Workbench) -> Answers:
    """A base with the parameters of the item side as well."""
    settings = bench.settings(d=bench.plan.sizes.d + 16)
    return _of_net(bench, bench.trained("wider", settings, bench.world.base))


def ceiling(bench: Workbench) -> Answers:
    """A base whose window holds all that the adapter reads."""
    return _of_net(bench, bench.ceiling())


def retrained(bench: Workbench) -> Answers:
    """A base trained again on everything since."""
    return _of_net(bench, bench.trained("fresh", bench.settings(), bench.world.fresh))


def oracle(bench: Workbench) -> Answers:
    """The true probabilities of a world that is made; DataError for any other."""
    truth, asked = bench.world.truth, bench.world.base.test
    if truth is None:
        raise DataError(f"nobody knows the true probabilities of {bench.plan.data!r}; only `synthetic` has this row")
    shares = np.maximum(truth.probabilities(asked)[np.arange(len(asked)), bench.world.log.items[asked]], 1e-12)
    return Answers(rank_targets(truth.probabilities, bench.world.log, asked), -np.log(shares))


def broadcast(bench: Workbench) -> Answers:
    """The stale base and the broadcast of the recent period."""
    return _at_rest(bench, bench.broadcast)


def broadcast_bias(bench: Workbench) -> Answers:
    """A broadcast of biases alone."""
    return _at_rest(bench, bench.change(vectors=False)[1])


def broadcast_shuffled(bench: Workbench) -> Answers:
    """The broadcast with every item's change at another item."""
    change = bench.broadcast
    order = torch.from_numpy(1 + np.random.default_rng(bench.seed).permutation(len(change.bias) - 1))
    order = torch.cat([order.new_zeros(1), order])
    return _at_rest(bench, Broadcast(change.bias[order], None if change.items is None else change.items[order]))


def edited(name: str, bench: Workbench, *, level: bool = True) -> dict[str, Answers]:
    """An editor "", and its controls: one "mean" edit for all, another user's "shuffled" one; of ours, all policies."""
    head, editor = fitted(name, bench, level=level)
    ask = partial(answers, head, editor, bench.features, bench.world.base.test)
    change = bench.broadcast if bench.ageing and level else None
    other: Changed = shuffled_edit(bench.world.log.users, np.random.default_rng(bench.seed))
    found = {"": ask(change), "mean": ask(change, mean_edit), "shuffled": ask(change, other)}
    if name != OURS or not level:
        return found
    learn, test = (
        Streams(head, editor, bench.features, asked, change) for asked in (bench.world.choosing, bench.world.base.test)
    )
    return {**found, **requested(learn, test, np.random.default_rng(bench.seed))}


def fitted(name: str, bench: Workbench, *, level: bool = True) -> tuple[EditedHead, HeadEditor]:
    """Return a head and the trained editor of a row."""
    then = partial(THEN[name], bench) if name in THEN else None
    return bench.fitted(partial(EDITORS[name], bench), then, level=level)


def reader(bench: Workbench) -> PoolingReader:
    """Return what reads histories, the same for every editor that is conditioned on them."""
    return PoolingReader(bench.head().backbone.table()[0], bench.texts, bench.plan.reach)


def ours(bench: Workbench, head: EditedHead) -> HeadEditor:
    """Shift, core and side, as a trained constant and a personal residual."""
    return HeadAdapter(reader(bench), EditForm(head))


def constant(bench: Workbench, head: EditedHead) -> HeadEditor:
    """One trained edit for everybody."""
    return ConstantEditor(EditForm(head))


def shift_alone(bench: Workbench, head: EditedHead) -> HeadEditor:
    """A shift of the state alone: what a bias of a head is."""
    return HeadAdapter(reader(bench), EditForm(head, (SHIFT,)))


def of_form(form: Callable[[EditedHead], Form], bench: Workbench, head: EditedHead) -> HeadEditor:
    """The same reader for a peer's form."""
    return HeadAdapter(reader(bench), form(head))


def closed_form(bench: Workbench, head: EditedHead) -> HeadEditor:
    """The summed head gradient of the history, through a learned preconditioner."""
    return ClosedFormEditor(EditForm(head), head.d, bench.plan.reach)


def faithful(bench: Workbench, head: EditedHead) -> HeadEditor:
    """The first half of the public recipe: an edit for every target out of the device's own window."""
    return FaithfulEditor(head, head.backbone.table()[0])


@torch.no_grad()
def in_groups(bench: Workbench, editor: HeadEditor) -> HeadEditor:
    """The second half: k-means on its codes, and an editor for each prototype, not trained on yet."""
    first = cast("FaithfulEditor", editor)
    read = Chunks(bench.features, _some_learnt(bench), first.reach).batches(64)
    codes = torch.cat([first.codes(chunk.history)[chunk.wanted.flatten()] for chunk in read])
    return FaithfulGroups(first, code_centres(codes, GROUPS, np.random.default_rng(bench.seed)))


def grouped(bench: Workbench, head: EditedHead) -> HeadEditor:
    """Eight groups of users, an edit each, learnt with labels."""
    vectors, features = head.backbone.table()[0], bench.features
    read = Chunks(features, _some_learnt(bench), 200).batches(64)
    means = [mean_vectors(chunk.history, vectors, 200)[chunk.wanted] for chunk in read]
    centres = centres_of(torch.cat(means), GROUPS, np.random.default_rng(bench.seed))
    return GroupEditor(EditForm(head), vectors, centres)


PLAIN: Mapping[str, Row] = {
    "popularity": popularity, "markov": markov, "blend": blend, "base": base, "base-more": longer, "wider": wider,
    "ceiling": ceiling, "oracle": oracle, "retrained": retrained, "broadcast": broadcast,
    "broadcast-bias": broadcast_bias, "broadcast-shuffled": broadcast_shuffled, "fine-tuned": fine_tuned,
}  # fmt: skip
EDITORS: Mapping[str, Callable[[Workbench, EditedHead], HeadEditor]] = {
    OURS: ours, "constant": constant, "shift": shift_alone, "film": partial(of_form, FilmForm),
    "duet": partial(of_form, ReplacedForm), "apg": partial(of_form, ApgForm), "closed-form": closed_form,
    "faithful": faithful, "groups": grouped,
}  # fmt: skip
# What becomes of a trained editor before it is trained again, from there on.
THEN: Mapping[str, Callable[[Workbench, HeadEditor], HeadEditor]] = {"faithful": in_groups}
ALONE = "ours-alone"  # without the broadcast under it
# Rows whose mean edit and shuffled edit stand beside them.
CONTROLLED = ("ours", "closed-form", "faithful")

ROWS: Mapping[str, tuple[str, ...]] = {
    "leave-one-out": ("popularity", "markov", "blend", "base"),
    "users": (
        "popularity", "markov", "blend", "base", "ours", "constant", "closed-form", "duet", "apg", "faithful", "film",
        "shift", "groups", "base-more", "fine-tuned", "ceiling", "wider",
    ),
    "stale": (
        "popularity", "markov", "blend", "base", "retrained", "broadcast", "broadcast-bias", "broadcast-shuffled",
        "ours", "constant", "ours-alone", "closed-form", "duet", "apg", "faithful",
    ),
}  # fmt: skip


def rows_for(data: str, setting: str) -> tuple[str, ...]:
    """Return the rows of a data set in a setting."""
    return (*ROWS[setting], "oracle") if data == SYNTHETIC else ROWS[setting]


def check_row(name: str) -> None:
    """CatalogError for a name that there is no row of."""
    if name not in {*PLAIN, *EDITORS, ALONE}:
        raise CatalogError(f"there is no row {name!r}; there are {', '.join([*PLAIN, *EDITORS, ALONE])}")


def run_row(name: str, bench: Workbench) -> dict[str, Answers]:
    """Return a row and its controls by name; CatalogError as of `check_row`."""
    check_row(name)
    if name in PLAIN:
        return {name: PLAIN[name](bench)}
    if name == ALONE:
        return {name: edited(OURS, bench, level=False)[""]}
    found = edited(name, bench)
    kept = found if name in CONTROLLED else {"": found[""]}
    return {f"{name}-{control}" if control else name: value for control, value in kept.items()}


def _some_learnt(bench: Workbench) -> Positions:
    """Return some of the targets that editors learn from, for k-means."""
    positions = bench.learnt_from()
    return positions[:: max(1, len(positions) // 4000)]


def _known(bench: Workbench) -> EventLog:
    return bench.world.log.ending(bench.world.fresh.fit_until)


def _counted(bench: Workbench, counter: Counter) -> Answers:
    log, asked = bench.world.log, bench.world.base.test
    ranks = rank_targets(scored(counter, log, COUNTED), log, asked)
    return Answers(ranks, np.full(len(asked), np.nan))


def _of_net(bench: Workbench, net: nn.Module) -> Answers:
    return answers_of_net(cast("SequenceBackbone", net), bench.features, bench.world.base.test)


def _at_rest(bench: Workbench, change: Broadcast) -> Answers:
    return answers(bench.head(), None, bench.features, bench.world.base.test, change)
