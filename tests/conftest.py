"""What every test shares: one thread, how hypothesis draws, and the data sets that may lie beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before numpy and torch are imported: tests are many and small, and threads only make them wait for each other and for
# the tests that run beside them in another process. Whatever was set outside is for the demo and the benchmarks.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# The same examples in every run, and no deadline: a busy machine is not a bug.
settings.register_profile("persona", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("persona")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of data sets beside the repository; the test is skipped where there is none."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no data sets here: ../shared/data, beside the repository, does not exist")
    return folder
