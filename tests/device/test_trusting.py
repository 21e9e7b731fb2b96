"""What a device trusts outlives its process: versions never go back, whatever a server offers after a restart."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from persona.device import Store, kept_trust
from persona.errors import StateError, TrustError
from persona.trust import Trust
from persona.trust.publish import DAY_S
from tests.signed import NOW_S, Owner, Shelf, key
from tests.worlds import World

OWNER = Owner()
BUNDLE = World().bundle


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, Shelf]:
    """The metadata of two releases, one after the other."""
    folder = tmp_path_factory.mktemp("releases")
    old = Shelf.of(OWNER.publish(folder, BUNDLE))
    return old, Shelf.of(OWNER.publish(folder, replace(World(support=(8, 16)).bundle, fingerprint="")))


def trust_in(store: Store, root: bytes | None = None, now_s: float = NOW_S) -> Trust:
    return kept_trust(store, root or OWNER.root(), lambda: now_s)


def test_versions_do_not_go_back_over_a_restart(tmp_path: Path, shelves: tuple[Shelf, Shelf]) -> None:
    old, new = shelves
    with Store(tmp_path) as store:
        trust_in(store).refresh(old)
        wanted = trust_in(store).refresh(new)
    with Store(tmp_path) as store:
        trust = trust_in(store)
        assert trust.state == wanted
        with pytest.raises(TrustError, match="rolled back"):
            trust.refresh(old)
        assert trust.state == wanted
        assert trust_in(store).state == wanted
    with Store(tmp_path / "another") as store:  # without what was kept, nothing tells the old release from a new one
        assert trust_in(store).refresh(old).timestamp == 1


def test_the_newest_time_is_kept_over_a_restart(tmp_path: Path, shelves: tuple[Shelf, Shelf]) -> None:
    with Store(tmp_path) as store:
        trust_in(store, now_s=NOW_S + 6 * DAY_S).refresh(shelves[0])
    with Store(tmp_path) as store:
        assert trust_in(store, now_s=0.0).state.seen_s == NOW_S + 6 * DAY_S


def test_what_cannot_be_written_does_not_count(tmp_path: Path, shelves: tuple[Shelf, Shelf]) -> None:
    old, new = shelves
    is_full = [False]

    def after_step(_: str) -> None:
        if is_full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Store(tmp_path, after_step=after_step) as store:
        trust = trust_in(store)
        before = trust.refresh(old)
        is_full[0] = True
        with pytest.raises(StateError, match="No space left"):
            trust.refresh(new)
        assert trust.state == before
        is_full[0] = False
        assert trust.refresh(new).timestamp == 2
        assert trust_in(store).state.timestamp == 2


def test_another_root_than_the_folders_is_refused(tmp_path: Path, shelves: tuple[Shelf, Shelf]) -> None:
    with Store(tmp_path) as store:
        trust_in(store).refresh(shelves[0])
        with pytest.raises(TrustError, match="another root of version 1"):
            trust_in(store, Owner(roots=[key("stranger")]).root())


def test_a_root_that_was_rotated_in_stays(tmp_path: Path, shelves: tuple[Shelf, Shelf]) -> None:
    files = {**shelves[0].files, "2.root.json": OWNER.root(2)}
    with Store(tmp_path) as store:
        assert trust_in(store).refresh(Shelf(files)).root.signed.version == 2
    with Store(tmp_path) as store:
        assert trust_in(store).state.root.signed.version == 2


def test_what_was_kept_and_is_no_state_is_an_error(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.keep_trusted(b"something else")
        with pytest.raises(TrustError, match="no trusted state"):
            trust_in(store)
