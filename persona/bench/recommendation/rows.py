"""The rows by name: from the workbench of a seed to answers to the test queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import nn

from persona.adapters.heads.adapter import ClosedFormEditor, ConstantEditor, HeadAdapter, HeadEditor
from persona.adapters.heads.faithful import FaithfulEditor
from persona.adapters.heads.forms import ApgForm, EditForm, FilmForm, Form, ReplacedForm
from persona.adapters.heads.groups import GroupEditor, centres_of, mean_vectors
from persona.adapters.heads.readers import PoolingReader
from persona.backbones.edited import SHIFT, Broadcast, EditedHead
from persona.backbones.items import SequenceBackbone
from persona.bench.recommendation.finetune import fine_tuned
from persona.bench.recommendation.plan import SYNTHETIC
from persona.bench.recommendation.workbench import Workbench
from persona.errors import CatalogError, DataError
from persona.tasks.recommendation.counters import ItemKnn, Markov, Popularity, choose_blend, scored
from persona.tasks.recommendation.counters.base import Counter
from persona.tasks.recommendation.events import EventLog
from persona.tasks.recommendation.ranking import rank_targets
from persona.training.chunks import Chunks
from persona.training.heads import (
    Answers,
    Changed,
    all_deltas,
    answers,
    answers_of_net,
    mean_edit,
    score_queries,
    shuffled_edit,
)

Row = Callable[[Workbench], Answers]
COUNTED = 50  # events that counters read
GROUPS = 8
EVERY = 4  # events that an edit stays, in the row that asks seldom


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


def edited(
    make: Callable[[Workbench, EditedHead], HeadEditor], bench: Workbench, *, level: bool = True
) -> dict[str, Answers]:
    """An editor "", and its controls: one "mean" edit for all, another user's "shuffled" one, an old one "every-4"."""
    head, editor = bench.fitted(partial(make, bench), level=level)
    ask = partial(answers, head, editor, bench.features, bench.world.base.test)
    change = bench.broadcast if bench.ageing and level else None
    other: Changed = shuffled_edit(bench.world.log.users, np.random.default_rng(bench.seed))
    return {
        "": ask(change), "mean": ask(change, mean_edit), "shuffled": ask(change, other),
        f"every-{EVERY}": _seldom(bench, head, editor, change),
    }  # fmt: skip


def reader(bench: Workbench) -> PoolingReader:
    """Return what reads histories, the same for every editor that is conditioned on them."""
    return PoolingReader(bench.head().backbone.table()[0], bench.texts)


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
    return ClosedFormEditor(EditForm(head), head.d)


def faithful(bench: Workbench, head: EditedHead) -> HeadEditor:
    """The public recipe, without k-means on codes and edit size as assignment."""
    return FaithfulEditor(head, head.backbone.table()[0])


def grouped(bench: Workbench, head: EditedHead) -> HeadEditor:
    """Eight groups of users, an edit each, learnt with labels."""
    vectors, features = head.backbone.table()[0], bench.features
    positions = bench.learnt_from()[:: max(1, len(bench.learnt_from()) // 4000)]
    means = [mean_vectors(c.history, vectors, 200)[c.wanted] for c in Chunks(features, positions, 200).batches(64)]
    centres = centres_of(torch.cat(means), GROUPS, np.random.default_rng(bench.seed))
    return GroupEditor(EditForm(head), vectors, centres)


PLAIN: Mapping[str, Row] = {
    "popularity": popularity, "markov": markov, "blend": blend, "base": base, "base-more": longer, "wider": wider,
    "ceiling": ceiling, "oracle": oracle, "retrained": retrained, "broadcast": broadcast,
    "broadcast-bias": broadcast_bias, "broadcast-shuffled": broadcast_shuffled, "fine-tuned": fine_tuned,
}  # fmt: skip
EDITORS: Mapping[str, Callable[[Workbench, EditedHead], HeadEditor]] = {
    "ours": ours, "constant": constant, "shift": shift_alone, "film": partial(of_form, FilmForm),
    "duet": partial(of_form, ReplacedForm), "apg": partial(of_form, ApgForm), "closed-form": closed_form,
    "faithful": faithful, "groups": grouped,
}  # fmt: skip
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
        return {name: edited(ours, bench, level=False)[""]}
    found = edited(EDITORS[name], bench)
    kept = found if name in CONTROLLED else {"": found[""]}
    return {f"{name}-{control}" if control else name: value for control, value in kept.items()}


@torch.no_grad()
def _seldom(bench: Workbench, head: EditedHead, editor: HeadEditor, change: Broadcast | None) -> Answers:
    """Every edit stays until `EVERY` events are past: a request policy that asks for a quarter of the edits."""
    log, asked, features = bench.world.log, bench.world.base.test, bench.features
    first = log.offsets[log.users[asked]]
    at, which = np.unique(first + (asked - first) // EVERY * EVERY, return_inverse=True)
    deltas = {name: x[torch.from_numpy(which)] for name, x in all_deltas(editor, features, at).items()}
    return score_queries(editor.form.query(features.states[asked], deltas), head.table(change), features, asked)


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
