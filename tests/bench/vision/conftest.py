"""One tiny job, trained once for all tests of the benchmark that want trained nets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from persona.bench.vision.job import Job
from persona.bench.vision.plan import Plan
from persona.bench.vision.rows import Trained

# Two devices of four windows of 8 pictures; nets that are hardly trained, for figures are not what is tested.
PLAN = Plan(
    "tests.tiny_task:TinyTask", train_seeds=(0,), stream_seeds=(11,), devices=2, windows=1, window_size=8,
    base_steps=3, warm_steps=3, steps=3, peer_steps=3, teacher_steps=3, ablation_steps=2, kit_windows=512,
)  # fmt: skip
ROWS = ("static", "alpha-bn", "persona", "mean-edit")


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("vision")
    return Job(PLAN, ("iid-seen",), ROWS, folder / "results", folder / "nets")


@pytest.fixture(scope="session")
def trained(job: Job) -> Trained:
    """Return the nets of every row, as trained just now and not as read from disk."""
    return replace(job, rows=None).trained(0)
