"""A job: a plan, what of it is wanted, and where things are; and what one training seed left behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from persona.bench.store import circumstances, read_rows
from persona.bench.vision.kit import kept_kits
from persona.bench.vision.plan import Plan
from persona.bench.vision.rows import NET_OF, Trained, build, rows_of
from persona.bench.vision.settings import SETTINGS
from persona.bench.vision.store import Unit
from persona.errors import CatalogError
from persona.tasks.vision.datasets import open_task
from persona.tasks.vision.task import ImageTask
from persona.training.loop import Progress
from persona.training.recipe import Recipe
from persona.training.suite import NETS, SuiteBudget, Workshop, train_suite

CHOSEN = "settings.json"
# Convolutions that are edited beside norms and head, where the net is small enough for whole kernels.
KERNELS = {"cnn-bn": ("stem", "conv*"), "cnn-gn": ("stem", "conv*")}


@dataclass(frozen=True)
class Job:
    """A plan and where things are: `data` folder or None, results kept under `results`, trained nets under `nets`.

    `rows` are run in every setting; None takes those that suit each.
    """

    plan: Plan
    settings: tuple[str, ...]
    rows: tuple[str, ...] | None
    results: Path
    nets: Path
    data: Path | None = None

    def __post_init__(self) -> None:
        """CatalogError for an unknown setting or row, before anything is trained."""
        for name in self.settings:
            if name not in SETTINGS:
                raise CatalogError(f"there is no setting {name!r}; there are {', '.join(SETTINGS)}")
        for name in self.rows or ():
            build(name)

    @property
    def folder(self) -> Path:
        """Where this plan's results are kept."""
        return self.results / self.plan.name

    @property
    def recipe(self) -> Recipe:
        """How our adapter is built: every norm, kernel and head is edited, and the picture is tapped on a grid."""
        return recipe_for(self.task())

    def task(self) -> ImageTask:
        """Return the data set's task."""
        return _open(self.plan.data, self.data, self.plan.backbone)

    def about(self, unit: Unit, first: Sequence[int]) -> dict[str, Any]:
        """Return what is stored with a unit beside its rows; `first` marks the windows that begin a segment."""
        images = self.task().images
        parts = {"train": images.train, "validation": images.validation, "test": images.test}
        return {
            "plan": self.plan.to_json(),
            "pictures": {name: len(part) for name, part in parts.items()},
            "setting": unit.setting, "train": unit.train, "stream": unit.stream,
            "first": list(first),
            **circumstances(),
        }  # fmt: skip

    def units(self) -> list[Unit]:
        """Return every unit; those of the first stream seed come first, for all training seeds."""
        plan = self.plan
        keys = product(plan.stream_seeds, plan.train_seeds, self.settings)
        return [Unit(train, stream, setting) for stream, train, setting in keys]

    def missing(self, unit: Unit) -> list[str]:
        """Return the rows of a unit that are not stored yet."""
        done = read_rows(unit.path(self.folder)).get("rows", {})
        rows, slow = rows_of(unit.setting) if self.rows is None else (self.rows, ())
        first = (unit.train, unit.stream) == (self.plan.train_seeds[0], self.plan.stream_seeds[0])
        wanted = (*rows, *slow) if first else rows
        return [row for row in wanted if row not in done]

    def every_row(self) -> list[str]:
        """Return each row that any setting has, once."""
        rows = self.rows or [row for setting in self.settings for part in rows_of(setting) for row in part]
        return list(dict.fromkeys(rows))

    def wanted_nets(self) -> list[str]:
        """Return the names of the nets that the rows of a training seed need."""
        wanted = {NET_OF[row] for row in self.every_row() if row in NET_OF}
        return [name for name in NETS if name in wanted or name not in NET_OF.values()]

    @property
    def taught(self) -> bool:
        """Whether a row wants the larger net of CEMA's cloud."""
        return "cema" in self.every_row()

    def shop(self, seed: int, progress: Progress | None = None) -> Workshop:
        """Return what trains the nets of one seed, and tells `progress` of every step."""
        plan = self.plan
        budget = SuiteBudget(plan.base_steps, plan.warm_steps, plan.steps, plan.peer_steps, seed)
        return Workshop(self.task(), self.recipe, budget, self.nets / plan.name / f"seed-{seed}", lambda name: progress)

    def teacher(self, progress: Progress | None = None) -> nn.Module:
        """Return the larger net of CEMA's cloud; it is trained once, on the first seed."""
        shop = self.shop(self.plan.train_seeds[0], progress)
        return shop.teacher(self.task().larger, self.plan.teacher_steps)

    def trained(self, seed: int) -> Trained:
        """Return what one training seed left, training what is missing."""
        shop = self.shop(seed)
        suite = train_suite(shop, self.wanted_nets())
        file, count = shop.folder / "kit.safetensors", self.plan.kit_windows
        kits = kept_kits(suite.learner, shop.task.training(), seed, file, count)
        chosen = read_rows(self.folder / CHOSEN).get("rows", {})
        tuned = {name: row["chosen"] for name, row in chosen.items()}
        return Trained(suite, kits, self.teacher() if self.taught else None, seed, tuned)


def recipe_for(task: ImageTask) -> Recipe:
    """Return the recipe of our row for a task's net; what it says was chosen on validation streams."""
    side = task.input_shape[1]
    return Recipe(
        backbone=task.backbone,
        editable=(*KERNELS.get(task.backbone, ()), *task.editable),
        decoder="basis",
        noise=0.5,
        grid=7 if side % 7 == 0 else 8,
        classes=task.classes,
        channels=task.input_shape[0],
    )


@lru_cache(maxsize=2)
def _open(name: str, folder: Path | None, backbone: str) -> ImageTask:
    return open_task(name, folder, backbone)
