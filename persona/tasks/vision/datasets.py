"""The data sets of the vision benchmark by name: `open_task` reads one from a folder of its own files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona import catalog
from persona.errors import CatalogError, DataError
from persona.tasks.vision.data import (
    TEST_IMAGES,
    TRAIN_IMAGES,
    VALIDATION_STRIDE,
    ImageSet,
    VisionData,
    every_nth_of_each,
    hold_back,
    load_images,
)
from persona.tasks.vision.domains import DomainEpisodes, mild
from persona.tasks.vision.packed import read_packed
from persona.tasks.vision.task import ImageTask
from persona.tasks.vision.usps import read_usps

PACS_DOMAINS = ("photo", "art_painting", "cartoon", "sketch")
CIFAR_SIDE, PACS_SIDE = 32, 64  # pixels
CIFAR_TRAIN, CIFAR_TEST = "cifar10_train.npz", "cifar10_test.npz"
PACS = "pacs64.npz"


@dataclass(eq=False)
class MnistTask(ImageTask):
    """MNIST under sampled shifts; `usps` is where the file of real targets is looked for."""

    usps: tuple[Path, ...] = ()

    def real_target(self) -> ImageSet:
        """The USPS test digits, 2,007 pictures (1, 28, 28) of other writers. DataError without the file."""
        return read_usps(self.usps)


@dataclass(eq=False)
class PacsTask(ImageTask):
    """PACS with one domain held out: episodes of the three others under mild shifts; the test set is the fourth.

    Source: Li et al., "Deeper, Broader and Artier Domain Generalization", ICCV 2017. `train_domains` and
    `validation_domains` number the domain of each picture.
    """

    target: str = "sketch"
    train_domains: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    validation_domains: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def training(self) -> DomainEpisodes:
        """Episodes of one source domain each, most of them under mild seen shifts."""
        return DomainEpisodes(
            self.images.train, "seen", self.tasks, self.window, self.window, self.skewed_share,
            mild(), self.clean_share, self.train_domains,
        )  # fmt: skip

    def validation(self) -> DomainEpisodes:
        """Episodes of held-back pictures of the source domains under mild seen shifts, all classes alike."""
        return DomainEpisodes(
            self.images.validation, "seen", self.tasks, self.window, self.window,
            families=mild(), groups=self.validation_domains,
        )  # fmt: skip


def open_task(name: str, folder: Path | None, backbone: str | None = None) -> ImageTask:
    """The task of a data set: fashion-mnist, mnist, cifar10, pacs (sketch held out), pacs-<domain>, or module:Class.

    `folder` holds the data set's own files, or a folder of each data set; None is the shipped subset of Fashion-MNIST.
    `backbone` is the net to take instead of the data set's own; a class from outside is called with the folder alone.
    Raises CatalogError for an unknown data set or backbone, DataError where files are absent or damaged.
    """
    if backbone is not None and ":" not in backbone and backbone not in catalog.names("backbones"):
        raise CatalogError(f"{backbone!r} is not among the backbones: {', '.join(catalog.names('backbones'))}")
    if ":" in name:
        task: Any = catalog.load("tasks", name)(folder)
    elif name in _READERS:
        task = _READERS[name](folder)
    else:
        raise CatalogError(f"{name!r} is not among the data sets: {', '.join(_READERS)}; or name it as module:Class")
    if backbone is not None:
        task.backbone = backbone
    found: ImageTask = task
    return found


def _fashion_mnist(folder: Path | None) -> ImageTask:
    return ImageTask(load_images(folder and _home(folder, "fashion-mnist", TRAIN_IMAGES)))


def _mnist(folder: Path | None) -> MnistTask:
    files = f"{TRAIN_IMAGES}, {TEST_IMAGES} and their labels"
    home = _home(_given("mnist", folder, files), "mnist", TRAIN_IMAGES)
    places = tuple(dict.fromkeys((home / "usps.npz", home / "usps" / "usps.npz", home.parent / "usps" / "usps.npz")))
    return MnistTask(load_images(home), usps=places)


def _cifar10(folder: Path | None) -> ImageTask:
    home = _home(_given("cifar10", folder, f"{CIFAR_TRAIN} and {CIFAR_TEST}"), "cifar10", CIFAR_TRAIN)
    train, test = (read_packed(home / name, CIFAR_SIDE).pictures for name in (CIFAR_TRAIN, CIFAR_TEST))
    return ImageTask(hold_back(train, test), backbone="resnet-8")


def _pacs(target: str) -> Callable[[Path | None], PacsTask]:
    def read(folder: Path | None) -> PacsTask:
        file = _home(_given("pacs", folder, PACS), "pacs64", PACS) / PACS
        packed = read_packed(file, PACS_SIDE, with_domains=True)
        if sorted(packed.domain_names) != sorted(PACS_DOMAINS):
            raise DataError(f"data file {file} has the domains {packed.domain_names}; wanted {PACS_DOMAINS}")
        held_out = packed.domains == packed.domain_names.index(target)
        groups = packed.domains * len(packed.class_names) + packed.pictures.labels
        held_back = every_nth_of_each(groups, VALIDATION_STRIDE)
        train, validation = np.flatnonzero(~held_out & ~held_back), np.flatnonzero(~held_out & held_back)
        take = packed.pictures.take
        images = VisionData(take(train), take(validation), take(np.flatnonzero(held_out)))
        return PacsTask(
            images, "mobilenet-v3-small", target=target,
            train_domains=packed.domains[train], validation_domains=packed.domains[validation],
        )  # fmt: skip

    return read


def _given(name: str, folder: Path | None, files: str) -> Path:
    if folder is None:
        raise DataError(f"data set {name!r} is not shipped; wanted a folder that holds {files}: name one")
    return folder


def _home(folder: Path, own: str, file: str) -> Path:
    """The folder itself, or the one named `own` in it where that holds the file."""
    inner = folder / own
    return inner if not (folder / file).exists() and inner.is_dir() else folder


_READERS: Mapping[str, Callable[[Path | None], ImageTask]] = {
    "fashion-mnist": _fashion_mnist,
    "mnist": _mnist,
    "cifar10": _cifar10,
    "pacs": _pacs("sketch"),
    **{f"pacs-{domain}": _pacs(domain) for domain in PACS_DOMAINS},
}
