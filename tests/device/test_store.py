"""A device's state on disk: what was kept is there again, whatever happened to the files, the disk or the clock."""

from __future__ import annotations

import errno
import math
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from persona.bundle import Bundle
from persona.container import pack
from persona.device import Options, Runtime
from persona.device.slots import Slots
from persona.device.store import Store
from persona.edit import Edit
from persona.errors import StateError
from persona.sketch import Sketch
from persona.wire import AdaptReply, AdaptRequest
from tests.device.devices import Clock, Inline, LocalCloud
from tests.device.dying import State, kept_edit, name_of
from tests.tiny_parts import WINDOW, parts_bundle
from tests.worlds import BANK_VERSION, World

WORLD = World()
X = {domain: WORLD.sample(domain, 32, np.random.default_rng(7), 0.3)[0] for domain in (1, -1)}
ANSWER = "prototype 0 + residual"


def start(store: Store, bundle: Bundle | None = None, cloud: LocalCloud | None = None) -> Runtime:
    """Return a runtime, by default without a cloud, which writes before its calls return."""
    found = bundle or store.bundle()
    assert found is not None
    return Runtime(found, cloud, executor=Inline(), clock=Clock(), options=Options(store=store))


def adapted(store: Store) -> Runtime:
    """Return a runtime in which the answer for domain +1 is in force."""
    runtime = start(store, WORLD.bundle, LocalCloud(WORLD.answer))
    runtime.predict(X[1])
    assert runtime.status().in_force == ANSWER
    return runtime


def full(_: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder in which the answer for domain +1 is in force."""
    with Store(tmp_path / "state") as store:
        adapted(store).close()
    return tmp_path / "state"


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


def damage_every_part(path: Path) -> list[bytes]:
    whole = path.read_bytes()
    cut = [whole[:n] for n in (0, 1, 8, 39, 40, 41, len(whole) // 2, len(whole) - 1)]
    places = [*range(48), *range(48, len(whole), max(len(whole) // 40, 1))]
    flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    return [*cut, *flipped, whole + b"\0", b"\0" * len(whole)]


@pytest.mark.parametrize("name", ["bundle", "edit", "trusted", "bank"])
def test_a_damaged_file_is_set_aside_and_the_rest_is_used(
    kept: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(kept) as store:
        store.keep_trusted(b"versions")
        store.keep_bank(replace(WORLD.bank, version=4), WORLD.bundle.fingerprint)
        whole = {path: path.read_bytes() for path in kept.glob("*.state")}
        before = State("a", 4, "kept", "versions")
        wanted = {
            "bundle": replace(before, bundle="none", bank=0, edit="none"),
            "edit": replace(before, edit="none"),
            "trusted": replace(before, trusted="none"),
            "bank": replace(before, bank=3),
        }[name]
        path = kept / f"{name}.state"
        for bad in damage_every_part(path):
            for other, data in whole.items():
                other.write_bytes(data)
            path.write_bytes(bad)
            caplog.clear()
            bundle, trusted = store.bundle(), store.trusted()
            edit = None if bundle is None else store.edit(bundle)
            found = State(
                "none" if bundle is None else "a",
                0 if bundle is None else bundle.bank.version,
                "none" if edit is None else "kept",
                "none" if trusted is None else trusted.decode(),
            )
            assert found == wanted
            assert f"{name}.state cannot be used and is set aside" in caplog.text
            assert (kept / f"{name}.damaged").read_bytes() == bad


def test_a_damaged_edit_leaves_the_base_and_the_first_window_its_prototype(kept: Path) -> None:
    (kept / "edit.state").write_bytes(b"half of it")
    with Store(kept) as store, start(store) as runtime:
        assert runtime.status().in_force == "base"
        runtime.predict(X[-1])
        assert runtime.status().in_force == "prototype 1"


def forged(tmp_path: Path, change: Callable[[dict[str, object], dict[str, np.ndarray]], None]) -> Store:
    """Return a store with an edit whose checksums are right and whose content is not."""
    arrays = {"residual": np.zeros((1, 2), np.float32), "place": np.zeros(8)}
    facts: dict[str, object] = {
        "bundle": WORLD.bundle.fingerprint, "bank_version": BANK_VERSION, "prototype": 0, "kept_at": 0.0,
        "expires_s": None, "count": 1,
    }  # fmt: skip
    change(facts, arrays)
    Slots(tmp_path).write("edit", pack("edit", facts, arrays))
    return Store(tmp_path, read_only=True)


FORGED: dict[str, Callable[[dict[str, object], dict[str, np.ndarray]], object]] = {
    "a residual of another shape": lambda facts, arrays: arrays.update(residual=np.zeros((2, 2), np.float32)),
    "a residual of another type": lambda facts, arrays: arrays.update(residual=np.zeros((1, 2))),
    "no prototype": lambda facts, arrays: facts.pop("prototype"),
    "a prototype that is none": lambda facts, arrays: facts.update(prototype="first"),
    "no place": lambda facts, arrays: arrays.pop("place"),
    "a place of another tap": lambda facts, arrays: arrays.update(place=np.zeros(2)),
    "a place that is not finite": lambda facts, arrays: arrays.update(place=np.full(8, np.nan)),
    "no time": lambda facts, arrays: facts.pop("kept_at"),
    "a time that is none": lambda facts, arrays: facts.update(expires_s="soon"),
    "fewer samples than none": lambda facts, arrays: facts.update(count=-1),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_an_edit_that_does_not_fit_its_bundle_is_left_out(
    tmp_path: Path, change: Callable[[dict[str, object], dict[str, np.ndarray]], None]
) -> None:
    assert forged(tmp_path, change).edit(WORLD.bundle) is None


LIES: dict[str, tuple[dict[str, object], float]] = {
    "a residual that is not a number": ({}, np.nan),
    "an endless residual": ({}, np.inf),
    "a residual beyond all bounds": ({}, 3e38),
    "no such prototype": ({"prototype": 7}, 0.0),
    "a prototype before the first": ({"prototype": -1}, 0.0),
    "a prototype of no number's size": ({"prototype": 1 << 70}, 0.0),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_lies_does_not_come_into_force(tmp_path: Path, lie: str) -> None:
    facts_, value = LIES[lie]

    def change(facts: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
        facts.update(facts_)
        arrays["residual"] = np.full((1, 2), value, np.float32)
        arrays["place"][:4] = 0.5  # where the window below is, near enough

    with start(forged(tmp_path, change), bundle=WORLD.bundle) as runtime:
        logits = runtime.predict(X[1])
        assert runtime.status().in_force == "prototype 0"
        assert np.isfinite(logits).all()


def test_a_bundle_that_is_not_as_it_was_read_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path) as store, pytest.raises(StateError, match="not as it was read"):
        store.keep_bundle(replace(WORLD.bundle, support=(1, 2)))


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


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"file/state cannot be used"):
        Store(tmp_path / "file" / "state")


def test_a_disk_that_is_full_at_any_step_leaves_the_old_state(kept: Path) -> None:
    steps: list[str] = []
    with Store(kept, after_step=steps.append) as store:
        store.keep_edit(kept_edit(1), WORLD.bundle.fingerprint)
    for last in range(1, len(steps) + 1):
        seen: list[str] = []

        def after_step(name: str, seen: list[str] = seen, last: int = last) -> None:
            seen.append(name)
            if len(seen) == last:
                full(name)

        with Store(kept, after_step=after_step) as store:
            with pytest.raises(StateError, match="No space left on device"):
                store.keep_edit(kept_edit(-1), WORLD.bundle.fingerprint)
            edit = store.edit(WORLD.bundle)
            assert edit is not None
            assert name_of(edit) == ("edit -1" if "renamed" in seen else "edit 1")
        assert not list(kept.glob("*.new"))


def test_a_full_disk_shows_in_the_status_and_nowhere_else(tmp_path: Path) -> None:
    broken = [True]
    with Store(tmp_path, after_step=lambda name: full(name) if broken[0] else None) as store:
        with start(store, WORLD.bundle, LocalCloud(WORLD.answer)) as runtime:
            assert "No space left" in runtime.status().storage
            runtime.predict(X[1])
            assert runtime.status().in_force == ANSWER
            assert "No space left" in runtime.status().storage
            broken[0] = False
            runtime.adapt()
            assert runtime.status().storage == ""
        bundle = store.bundle()
        assert bundle is not None, "the bundle was kept as soon as there was room"
        assert store.edit(bundle) is not None


def test_a_file_beyond_the_systems_limit_is_no_accident(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    code = f"""
from pathlib import Path
from persona.device.store import Store
from persona.errors import StateError
with Store(Path({str(tmp_path)!r})) as store:
    store.keep_trusted(b"small")
    try:
        store.keep_trusted(b"large" * 100)
    except StateError as error:
        print(error)
    print(store.trusted().decode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limit, check=False)
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert done.stdout.strip().endswith("small")


def test_an_executor_that_takes_no_work_shows_in_the_status(tmp_path: Path) -> None:
    class Closed(Inline):
        def submit(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise RuntimeError("closed")

    with Store(tmp_path) as store:
        runtime = Runtime(WORLD.bundle, executor=Closed(), options=Options(store=store))
        runtime.use(WORLD.edit(1))
        assert "takes no work" in runtime.status().storage


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


def test_a_file_that_cannot_be_read_now_stays_where_it_is(kept: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("edit", "trusted"):
        (kept / f"{name}.state").unlink(missing_ok=True)
        (kept / f"{name}.state").mkdir()
    with Store(kept) as store:
        assert store.edit(WORLD.bundle) is None
        with pytest.raises(StateError, match="versions could go back"):
            store.trusted()
    assert "cannot be read and is left out" in caplog.text
    assert not list(kept.glob("*.damaged"))
