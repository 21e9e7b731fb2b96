"""The metadata of honest releases, which the tests here falsify."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.hostile.lying_server import BUNDLE, OWNER
from tests.signed import Shelf
from tests.worlds import World


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The metadata of a first release."""
    return Shelf.of(OWNER.publish(tmp_path_factory.mktemp("first"), BUNDLE)).files


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The metadata of two releases, one after the other."""
    folder = tmp_path_factory.mktemp("both")
    old = Shelf.of(OWNER.publish(folder, BUNDLE)).files
    other = replace(World(support=(8, 16)).bundle, fingerprint="")
    return old, Shelf.of(OWNER.publish(folder, other)).files
