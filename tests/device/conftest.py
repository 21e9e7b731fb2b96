"""A folder with a device's state, for the tests of its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona.device.store import Store
from tests.device.storing import adapted


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder in which the answer for domain +1 is in force."""
    with Store(tmp_path / "state") as store:
        adapted(store).close()
    return tmp_path / "state"
