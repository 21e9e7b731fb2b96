"""The public recipe: k-means on codes, a prototype for each cluster, and the smallest edit as assignment."""

import numpy as np
import torch

from persona.adapters.heads.faithful import CLIP, FaithfulEditor, FaithfulGroups, code_centres, smallest
from persona.training.chunks import Chunks
from persona.training.event_features import EventFeatures
from tests.adapters.heads.worlds import last_events, marked_head, marked_log


def trained(scale: float) -> tuple[FaithfulEditor, Chunks]:
    head = marked_head()
    log = marked_log(6)
    editor = FaithfulEditor(head, head.backbone.table()[0], code=4).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for out in editor.outs:
            out.weight.normal_(std=scale)
    return editor, Chunks(EventFeatures.of(head, log), last_events(log), editor.reach)


def test_groups_start_from_the_editor_that_they_were_made_of() -> None:
    editor, chunks = trained(0.05)
    history = next(chunks.batches(8)).history
    codes = editor.codes(history).detach()
    groups = FaithfulGroups(editor, code_centres(codes, 3, np.random.default_rng(0)))
    assert len(groups.prototypes) == 3
    before, after = editor(history), groups(history)
    for name, values in before.items():
        assert values.abs().max() < CLIP
        assert torch.allclose(after[name], values, atol=1e-6)


def test_the_smallest_edit_is_that_of_the_nearest_prototype() -> None:
    editor, chunks = trained(0.05)
    history = next(chunks.batches(8)).history
    groups = FaithfulGroups(editor, code_centres(editor.codes(history).detach(), 3, np.random.default_rng(0)))
    edits = editor.entries(editor.codes(history))
    nearest = torch.cdist(edits, groups.prototypes).argmin(dim=1)
    assert smallest(groups.residuals(history)).tolist() == nearest.tolist()
    assert len(set(nearest.tolist())) == 3


def test_an_edit_of_a_prototype_is_within_the_clip_as_well() -> None:
    editor, chunks = trained(10.0)
    history = next(chunks.batches(8)).history
    groups = FaithfulGroups(editor, code_centres(editor.codes(history).detach(), 2, np.random.default_rng(0)))
    for values in groups(history).values():
        assert values.abs().max() <= CLIP


def test_equal_residuals_go_to_the_first_group() -> None:
    assert smallest(torch.zeros(2, 3, 4)).tolist() == [0, 0]
    assert smallest(torch.tensor([[[3.0], [-1.0], [2.0]]])).tolist() == [1]
