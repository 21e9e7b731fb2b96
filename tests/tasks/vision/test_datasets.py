"""Data sets by name: small files of the same form everywhere, the real ones where they lie beside the repository."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from persona.errors import CatalogError, DataError
from persona.tasks.vision.data import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, load_images
from persona.tasks.vision.datasets import PACS_DOMAINS, MnistTask, PacsTask, open_task
from persona.tasks.vision.task import ImageTask, VisionTask
from tests.tasks.vision.packing import arrays_of, pack

SHIPPED = Path(str(files("persona.tasks.vision"))) / "fashion_mnist"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets, each of them small."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        shutil.copy(SHIPPED / TEST_IMAGES, folder / "mnist" / images)
        shutil.copy(SHIPPED / TEST_LABELS, folder / "mnist" / labels)
    pack(folder / "usps" / "usps.npz", {"x_test": np.zeros((7, 16, 16), np.uint8), "y_test": np.arange(7)})
    pack(folder / "cifar10" / "cifar10_train.npz", arrays_of(32, 80, 4))
    pack(folder / "cifar10" / "cifar10_test.npz", arrays_of(32, 20, 4))
    pack(folder / "pacs64" / "pacs64.npz", arrays_of(64, 320, 2, PACS_DOMAINS))
    return folder


def test_the_shipped_subset_needs_no_folder() -> None:
    task = open_task("fashion-mnist", None)
    assert (task.backbone, task.larger, task.input_shape, task.classes) == ("cnn-bn", "resnet-8", (1, 28, 28), 10)
    assert len(task.images.test) == 2000


@pytest.mark.parametrize("inner", ["", "mnist"])
def test_mnist_is_found_in_its_folder_or_in_the_one_above(folder: Path, inner: str) -> None:
    task = open_task("mnist", folder / inner)
    assert isinstance(task, MnistTask)
    assert (len(task.images.train), len(task.images.validation)) == (1800, 200)
    assert task.real_target().labels.tolist() == list(range(7))


def test_cifar_holds_a_tenth_of_each_class_back(folder: Path) -> None:
    task = open_task("cifar10", folder)
    assert (task.backbone, task.input_shape) == ("resnet-8", (3, 32, 32))
    assert np.bincount(task.images.train.labels).tolist() == [18] * 4
    assert np.bincount(task.images.validation.labels).tolist() == [2] * 4
    assert len(task.images.test) == 20


@pytest.mark.parametrize("target", PACS_DOMAINS)
def test_pacs_holds_one_domain_out(folder: Path, target: str) -> None:
    task = open_task(f"pacs-{target}", folder)
    assert isinstance(task, PacsTask)
    held_out = PACS_DOMAINS.index(target)
    assert (task.target, task.backbone, task.input_shape) == (target, "mobilenet-v3-small", (3, 64, 64))
    assert len(task.images.test) == 80
    assert set(task.train_domains.tolist()) == set(task.validation_domains.tolist()) == {0, 1, 2, 3} - {held_out}
    assert np.bincount(task.validation_domains, minlength=4)[held_out - 1] == 8  # 4 of each class
    greys = task.images.test.images[:, 0, 0, 0]
    assert greys.tolist() == [3 * i % 256 for i in range(80 * held_out, 80 * held_out + 80)]


def test_pacs_draws_episodes_of_its_sources(folder: Path) -> None:
    task = open_task("pacs", folder)
    task.window, task.skewed_share = 4, 0.0
    for episodes in (task.training(), task.validation()):
        batch = episodes.sample(np.random.default_rng(0))
        assert batch.support.shape == batch.query.shape == (6, 4, 3, 64, 64)
        assert not (batch.support == batch.support[0]).all()


def test_a_backbone_of_the_catalogue_can_be_chosen(folder: Path) -> None:
    assert open_task("cifar10", folder, "resnet-8-gn").backbone == "resnet-8-gn"
    assert open_task("fashion-mnist", None, "somewhere:net").backbone == "somewhere:net"
    with pytest.raises(CatalogError, match="'resnet-9' is not among the backbones: cnn-bn"):
        open_task("fashion-mnist", None, "resnet-9")


class Mine(ImageTask):
    def __init__(self, folder: Path | None) -> None:
        super().__init__(load_images(folder))


def test_a_task_from_outside_is_called_with_the_folder(folder: Path) -> None:
    task = open_task(f"{__name__}:Mine", folder / "mnist")
    assert isinstance(task, Mine)
    assert len(task.images.train) == 1800


@pytest.mark.parametrize(
    ("name", "file"), [("mnist", TRAIN_IMAGES), ("cifar10", "cifar10_train"), ("pacs", "pacs64.npz")]
)
def test_data_that_is_not_shipped_is_asked_for_by_its_files(name: str, file: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{name}.* is not shipped; wanted a folder that holds .*{file}"):
        open_task(name, None)
    with pytest.raises(DataError, match=f"{file}.* does not exist"):
        open_task(name, tmp_path)


def test_other_names_and_other_domains_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="'pacs-oil' is not among the data sets: fashion-mnist, mnist"):
        open_task("pacs-oil", tmp_path)
    pack(tmp_path / "pacs64.npz", arrays_of(64, 4, 2, ("oil", "ink")))
    with pytest.raises(DataError, match=r"has the domains \('oil', 'ink'\)"):
        open_task("pacs", tmp_path)


def test_the_default_task_is_as_it_was() -> None:
    task = VisionTask()
    assert (task.backbone, task.editable, task.tasks, task.window) == ("cnn-bn", ("norm*", "head"), 6, 32)
    assert (task.training().labels, task.training().clean, task.validation().labels) == (0.3, 0.15, "iid")


def test_real_data_has_the_published_sizes(shared_data: Path) -> None:
    mnist = open_task("mnist", shared_data)
    assert (len(mnist.images.train) + len(mnist.images.validation), len(mnist.images.test)) == (60_000, 10_000)
    assert (mnist.images.train.images / np.float32(255)).mean() == pytest.approx(0.1307, abs=0.001)
    pacs = open_task("pacs-sketch", shared_data)
    assert (len(pacs.images.test), pacs.classes) == (3_929, 7)
    assert len(pacs.images.train) + len(pacs.images.validation) == 9_991 - 3_929
    assert pacs.training().sample(np.random.default_rng(0)).query.shape == (6, 32, 3, 64, 64)
