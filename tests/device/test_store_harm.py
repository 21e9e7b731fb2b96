"""A device's state on disk when files are damaged or lie, the disk is full, or the system refuses."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from persona.container import pack
from persona.device import Options, Runtime
from persona.device.slots import Slots
from persona.device.store import Store
from persona.errors import StateError
from tests.device.devices import Inline, LocalCloud
from tests.device.dying import State, kept_edit, name_of
from tests.device.storing import ANSWER, WORLD, X, start
from tests.worlds import BANK_VERSION


def full(_: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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


@pytest.mark.parametrize("version", [b"1e999", b'"one"', b" null"])
def test_a_bank_whose_version_is_no_number_is_set_aside(kept: Path, version: bytes) -> None:
    facts = {"bundle": WORLD.bundle.fingerprint, "version": 12345}
    data = pack("bank", facts, WORLD.bank.to_arrays())
    assert data.count(b"12345") == 1
    slots = Slots(kept)
    slots.write("bank", data.replace(b"12345", version))
    slots.close()
    with Store(kept) as store:
        bundle = store.bundle()
        assert bundle is not None
        assert bundle.bank.version == BANK_VERSION
    assert (kept / "bank.damaged").exists()


def test_a_bundle_that_is_not_as_it_was_read_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path) as store, pytest.raises(StateError, match="not as it was read"):
        store.keep_bundle(replace(WORLD.bundle, support=(1, 2)))


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
