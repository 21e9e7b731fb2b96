import gzip
import hashlib
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from persona.errors import DataError
from persona.tasks.vision import ImageSet, VisionData, load_images
from persona.tasks.vision.data import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, load_test_images

SHIPPED = Path(str(files("persona.tasks.vision"))) / "fashion_mnist"
LARGEST_SUBSET_BYTES = 6_000_000


@pytest.fixture(scope="module")
def shipped() -> VisionData:
    return load_images()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder of our own with the four files: the small test pair under both names."""
    shutil.copy(SHIPPED / TEST_IMAGES, tmp_path / TRAIN_IMAGES)
    shutil.copy(SHIPPED / TEST_LABELS, tmp_path / TRAIN_LABELS)
    shutil.copy(SHIPPED / TEST_IMAGES, tmp_path / TEST_IMAGES)
    shutil.copy(SHIPPED / TEST_LABELS, tmp_path / TEST_LABELS)
    return tmp_path


def test_shipped_files_are_the_ones_that_were_made() -> None:
    lines = (SHIPPED / "SHA256SUMS").read_text().splitlines()
    named = dict(reversed(line.split("  ")) for line in lines)
    assert sorted(named) == sorted((TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS))
    for name, digest in named.items():
        assert hashlib.sha256((SHIPPED / name).read_bytes()).hexdigest() == digest
    assert sum((SHIPPED / name).stat().st_size for name in named) < LARGEST_SUBSET_BYTES


def test_shipped_files_carry_their_licence() -> None:
    assert "Copyright (c) 2017 Zalando SE" in (SHIPPED / "LICENSE").read_text()


def test_splits_have_the_sizes_and_as_many_of_each_class(shipped: VisionData) -> None:
    for images, per_class in ((shipped.train, 900), (shipped.validation, 100), (shipped.test, 200)):
        assert images.images.shape == (10 * per_class, 1, 28, 28)
        assert np.bincount(images.labels).tolist() == [per_class] * 10


def test_pixels_have_the_published_mean_and_spread(shipped: VisionData) -> None:
    pixels = shipped.train.images / 255
    assert pixels.mean() == pytest.approx(0.2860, abs=0.005)
    assert pixels.std() == pytest.approx(0.3530, abs=0.005)


def test_no_image_is_in_two_splits(shipped: VisionData) -> None:
    digests = [{hash(image.tobytes()) for image in part.images} for part in (shipped.train, shipped.validation)]
    assert len(digests[0] & digests[1]) <= 1  # Fashion-MNIST itself has a few exact duplicates


def test_loading_twice_gives_the_same(shipped: VisionData) -> None:
    again = load_images()
    assert np.array_equal(again.validation.images, shipped.validation.images)
    assert np.array_equal(again.train.labels, shipped.train.labels)


def test_a_folder_is_read_like_the_shipped_subset(copied: Path, shipped: VisionData) -> None:
    data = load_images(copied)
    assert (len(data.train), len(data.validation), len(data.test)) == (1800, 200, 2000)
    assert np.array_equal(data.test.images, shipped.test.images)


def test_the_test_set_can_be_had_alone(copied: Path, shipped: VisionData) -> None:
    (copied / TRAIN_IMAGES).unlink()
    for alone in (load_test_images(copied), load_test_images()):
        assert np.array_equal(alone.images, shipped.test.images)
        assert np.array_equal(alone.labels, shipped.test.labels)


def test_take_keeps_the_order_asked_for(shipped: VisionData) -> None:
    taken = shipped.test.take(np.array([5, 2]))
    assert np.array_equal(taken.images, shipped.test.images[[5, 2]])
    assert taken.labels.tolist() == shipped.test.labels[[5, 2]].tolist()


def test_images_and_labels_must_fit() -> None:
    images = np.zeros((3, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(DataError, match=r"labels have shape \(2,\).*one class per image"):
        ImageSet(images, np.zeros(2, dtype=np.int64))
    with pytest.raises(DataError, match=r"type int32"):
        ImageSet(images, np.zeros(3, dtype=np.int32))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"images have shape \(3, 4, 4\)"):
        ImageSet(images[:, 0], np.zeros(3, dtype=np.int64))
    with pytest.raises(DataError, match="float64"):
        ImageSet(images / 255, np.zeros(3, dtype=np.int64))


def test_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        load_images(tmp_path / "nowhere")


def test_folder_without_files_names_the_first_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=TRAIN_IMAGES + " does not exist"):
        load_images(tmp_path)


def _header(axes: int, *sizes: int) -> bytes:
    return bytes((0, 0, 8, axes)) + b"".join(size.to_bytes(4, "big") for size in sizes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with ''"),
        (b"not gzip at all", "cannot be read as gzip"),
        (gzip.compress(b""), "starts with ''"),
        (gzip.compress(_header(1, 4) + bytes(16)), "starts with '00000801'; wanted '00000803'"),
        (gzip.compress(b"\0\0\x0d\x03" + bytes(12)), "starts with '00000d03'"),
        (gzip.compress(_header(3, 2, 2)), "wanted '00000803'"),
        (gzip.compress(_header(3, 2, 2, 2) + bytes(7)), r"shape \(2, 2, 2\) \(8 bytes\) but holds only 7"),
        (gzip.compress(_header(3, 2, 2, 2) + bytes(9)), "holds more bytes"),
        (gzip.compress(_header(3, 2**32 - 1, 2**32 - 1, 2**32 - 1)), "holds only 0"),
    ],
)
def test_damaged_file_is_named_with_what_is_wrong(copied: Path, content: bytes, message: str) -> None:
    (copied / TRAIN_IMAGES).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_images(copied)
    assert TRAIN_IMAGES in str(caught.value)


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.999999])
def test_truncated_file_is_refused(copied: Path, kept: float) -> None:
    whole = (copied / TRAIN_IMAGES).read_bytes()
    (copied / TRAIN_IMAGES).write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=TRAIN_IMAGES):
        load_images(copied)


def test_flipped_bits_are_refused(copied: Path) -> None:
    damaged = bytearray((copied / TRAIN_IMAGES).read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (copied / TRAIN_IMAGES).write_bytes(damaged)
    with pytest.raises(DataError, match=TRAIN_IMAGES):
        load_images(copied)


def test_counts_that_disagree_are_refused(copied: Path) -> None:
    (copied / TEST_LABELS).write_bytes(gzip.compress(_header(1, 3) + bytes(3)))
    with pytest.raises(DataError, match=r"2000 images in .* but 3 labels"):
        load_images(copied)
