"""A device's state on disk: what was kept is there again, whatever happened to the files, the disk or the clock."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from persona.bundle import Bundle
from persona.device import Options, Runtime
from persona.device.store import Store
from persona.edit import Edit
from persona.errors import StateError
from persona.sketch import Sketch
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Clock, Inline, LocalCloud
from tests.device.dying import State, kept_edit
from tests.device.storing import ANSWER, WORLD, X, adapted, start
from tests.tiny_parts import WINDOW, parts_bundle
from tests.worlds import BANK_VERSION, World


def test_a_new_folder_holds_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "new") as store:
        assert State.of(store) == State()
        assert store.edit(WORLD.bundle) is None


def test_a_device_starts_offline_where_it_was(kept: Path) -> None:
    with Store(kept) as store, adapted(store) as before:
        wanted = before.predict(X[1])
    with Store(kept) as store, start(store) as runtime:
        assert runtime.status().in_force == "base", "it is tried before it is used"
        assert np.array_equal(runtime.predict(X[1]), wanted)
        assert (runtime.status().in_force, runtime.status().rung) == (ANSWER, "answer")
        assert runtime.status().storage == ""
    with Store(kept) as store:
        assert store.edit(WORLD.bundle) is not None, "and once more"


def test_a_device_that_dies_before_its_first_window_loses_nothing(kept: Path) -> None:
    for _ in range(2):
        with Store(kept) as store, start(store) as runtime:
            runtime.predict(X[1][:8])
            assert runtime.status().in_force == "base"
    with Store(kept) as store, start(store) as runtime:
        runtime.predict(X[1])
        assert runtime.status().in_force == ANSWER


def test_data_of_another_domain_does_not_meet_the_answer_again(kept: Path) -> None:
    with Store(kept) as store, start(store) as runtime:
        logits = runtime.predict(X[-1])
        assert runtime.status().in_force == "prototype 1"
        assert "has left the domain" in runtime.status().reason
        assert np.allclose(logits, WORLD.logits(X[-1], WORLD.edit(-1)), atol=1e-4)
        assert store.edit(WORLD.bundle) is None, "a prototype is found again by the next first window"


@pytest.mark.parametrize("edit", [None, WORLD.edit(1)], ids=["base", "edit"])
def test_what_is_put_in_force_by_hand_is_not_kept_and_takes_the_place_of_what_was(
    kept: Path, edit: Edit | None
) -> None:
    with Store(kept) as store, start(store) as runtime:
        runtime.use(edit)
        assert store.edit(WORLD.bundle) is None


def test_an_answer_of_an_older_bank_is_left_out(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(kept) as store:
        store.keep_bank(replace(WORLD.bank, version=9), WORLD.bundle.fingerprint)
        with start(store) as runtime:
            assert "version 9" in caplog.text
            runtime.predict(X[1])
            assert runtime.status().in_force == "prototype 0"


@pytest.mark.parametrize(("gone_s", "lasts"), [(0, True), (59, True), (60, False), (1e9, False), (-1, False)], ids=str)
def test_an_edit_expires_by_the_time_of_day_and_a_clock_that_went_back_says_nothing(
    tmp_path: Path, gone_s: float, lasts: bool
) -> None:
    clock = Clock(1e9)
    with Store(tmp_path, clock=clock) as store:
        store.keep_edit(replace(kept_edit(1), expires_s=60), WORLD.bundle.fingerprint)
        clock.now += gone_s
        edit = store.edit(WORLD.bundle)
        assert (edit is not None) is lasts
        assert edit is None or edit.expires_s == 60 - gone_s


def test_an_edit_without_an_end_has_none(tmp_path: Path) -> None:
    with Store(tmp_path, clock=Clock(1e9)) as store:
        store.keep_edit(kept_edit(1), WORLD.bundle.fingerprint)
    with Store(tmp_path, clock=Clock(0)) as store:
        edit = store.edit(WORLD.bundle)
        assert edit is not None
        assert math.isinf(edit.expires_s)


def test_another_bundle_drops_the_edit_and_the_bank_of_the_last_one(kept: Path) -> None:
    other = World(window=16).bundle
    with Store(kept) as store:
        store.keep_bank(replace(WORLD.bank, version=9), WORLD.bundle.fingerprint)
        store.keep_bundle(other)
        assert store.edit(other) is None
        assert store.edit(WORLD.bundle) is None
        bundle = store.bundle()
        assert bundle is not None
        assert (bundle.fingerprint, bundle.bank.version) == (other.fingerprint, other.bank.version)


@pytest.mark.parametrize(("version", "found"), [(9, 9), (2, 3)], ids=["newer", "older"])
def test_a_newer_bank_goes_with_its_bundle_and_an_older_one_does_not(kept: Path, version: int, found: int) -> None:
    with Store(kept) as store:
        store.keep_bank(replace(WORLD.bank, version=version), WORLD.bundle.fingerprint)
        bundle = store.bundle()
        assert bundle is not None
        assert bundle.bank.version == found
        assert bundle.fingerprint == WORLD.bundle.fingerprint
        with start(store) as runtime:
            assert runtime.status().storage == "", "a bundle with its newer bank is the same bundle"


def test_a_second_process_is_told_who_has_the_folder_and_may_read(kept: Path) -> None:
    code = f"""
from pathlib import Path
from persona.device.store import Store
from persona.errors import StateError
folder = Path({str(kept)!r})
try:
    Store(folder)
except StateError as error:
    print(error)
with Store(folder, read_only=True) as store:
    print(store.edit(store.bundle()).prototype)
    try:
        store.keep_trusted(b"x")
    except StateError as error:
        print(error)
"""
    with Store(kept):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    taken, prototype, refused = done.stdout.strip().splitlines()
    assert f"in use by process {os.getpid()}" in taken
    assert prototype == "0"
    assert "opened to read only" in refused


def test_a_closed_store_gives_the_folder_back_and_writes_no_more(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(StateError, match="in use"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()
    with pytest.raises(StateError, match="closed"):
        store.keep_trusted(b"x")


def test_reading_alone_changes_nothing(kept: Path) -> None:
    (kept / "edit.state").write_bytes(b"half of it")
    before = sorted(kept.iterdir())
    with Store(kept, read_only=True) as store, start(store) as runtime:
        runtime.use(WORLD.edit(-1))
        assert runtime.status().storage == ""
    assert sorted(kept.iterdir()) == before


def test_the_last_of_many_answers_is_kept(tmp_path: Path) -> None:
    turns = []

    def answer(request: AdaptRequest) -> AdaptReply:
        turns.append(len(turns))
        return replace(WORLD.answer(request), residual=np.full((1, 2), len(turns) / 1024, np.float32))

    with Store(tmp_path) as store:
        with Runtime(WORLD.bundle, LocalCloud(answer), options=Options(store=store)) as runtime:
            runtime.predict(X[1])
            for _ in range(200):
                runtime.adapt()
            kept = runtime.keep()
        edit = store.edit(WORLD.bundle)
        assert edit is not None
        assert kept is not None
        np.testing.assert_array_equal(edit.residual, kept.residual)
        np.testing.assert_array_equal(edit.residual, np.full((1, 2), len(turns) / 1024))


def test_what_is_kept_is_what_keep_returns(kept: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "other") as store, adapted(store) as runtime:
        wanted = runtime.keep()
    with Store(kept) as store:
        found = store.edit(WORLD.bundle)
    assert wanted is not None
    assert found is not None
    assert (found.prototype, found.bank_version, found.expires_s) == (0, BANK_VERSION, math.inf)
    np.testing.assert_array_equal(found.residual, wanted.residual)
    np.testing.assert_array_equal(found.place.moments, wanted.place.moments)
    assert found.place.count == wanted.place.count


def test_a_prototype_alone_is_kept_without_a_residual(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.keep_edit(replace(kept_edit(-1), residual=None), WORLD.bundle.fingerprint)
        edit = store.edit(WORLD.bundle)
        assert edit is not None
        assert (edit.prototype, edit.residual) == (1, None)


def test_a_place_of_no_samples_is_compared_with_nothing(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.keep_bundle(WORLD.bundle)
        empty = replace(kept_edit(1), place=Sketch(0, np.zeros(8), np.zeros(0)))
        store.keep_edit(empty, WORLD.bundle.fingerprint)
        with start(store) as runtime:
            runtime.predict(X[-1])
            assert runtime.status().in_force == ANSWER


def test_what_the_device_settles_into_an_answer_is_there_again_from_the_same_window(tmp_path: Path) -> None:
    bundle = Bundle.from_bytes(replace(parts_bundle(), gate=None).to_bytes())
    residual = np.full(bundle.decoder.code_shape, 0.25, np.float32)
    cloud = LocalCloud(lambda r: AdaptReply(r.fingerprint, 0, bundle.bank.version, 0, residual, "float32"))
    x = (50 + np.random.default_rng(0).normal(size=(WINDOW, 3))).astype(np.float32)
    with Store(tmp_path) as store:
        options = Options(prior=False, store=store)
        with Runtime(bundle, cloud, executor=Inline(), options=options) as runtime:
            runtime.predict(x)
            wanted, name = runtime.predict(x), runtime.status().in_force
            assert name == ANSWER
        with Runtime(bundle, executor=Inline(), options=options) as runtime:
            assert np.array_equal(runtime.predict(x), wanted)
            assert runtime.status().in_force == name
