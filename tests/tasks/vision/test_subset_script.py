import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from persona.tasks.vision import load_images
from persona.tasks.vision.data import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS

SCRIPT = Path(__file__).parents[3] / "scripts" / "make_fashion_mnist_subset.py"


def _write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes(), compresslevel=1))


def _make(source: Path, out: Path) -> dict[str, bytes]:
    subprocess.run([sys.executable, SCRIPT, "--source", source, "--out", out], check=True)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_script_keeps_the_first_of_each_class_and_is_deterministic(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rng = np.random.default_rng(0)
    for images_name, labels_name, n in ((TRAIN_IMAGES, TRAIN_LABELS, 3000), (TEST_IMAGES, TEST_LABELS, 900)):
        _write_idx(source / images_name, np.arange(n, dtype=">u4").view(np.uint8).reshape(n, 2, 2))
        _write_idx(source / labels_name, rng.integers(2, size=n, dtype=np.uint8))

    made = _make(source, tmp_path / "a")

    assert made == _make(source, tmp_path / "b")
    test = load_images(tmp_path / "a").test
    places = test.images.reshape(-1, 4).view(">u4")[:, 0]
    labels = load_images(source).test.labels
    assert np.bincount(test.labels).tolist() == [200, 200]
    for label in (0, 1):
        assert places[test.labels == label].tolist() == np.flatnonzero(labels == label)[:200].tolist()
    assert np.all(np.diff(places.astype(int)) > 0)
