"""What a device must not forget: its last good bundle and bank, the answer in force, and what it trusts.

Each names the bundle that it belongs to, so that whichever of them a killed process left behind, nothing is applied to
a model that it was not made for: what does not belong is left out, down to the base model.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.bank import Bank
from persona.bundle import Bundle
from persona.container import pack, unpack
from persona.device.in_force import KeptEdit
from persona.device.slots import AfterStep, Slots
from persona.errors import PersonaError, StateError
from persona.sketch import Sketch

logger = logging.getLogger(__name__)


class Store:
    """A device's state in a folder. Many threads may call every method; one process at a time may write.

    `clock` tells the time of day in seconds, since no other clock goes on while a device is off; `after_step` is told
    each step towards the disk. What cannot be kept raises StateError, and what was kept before stays.
    """

    def __init__(
        self,
        folder: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], float] = time.time,
        after_step: AfterStep | None = None,
    ) -> None:
        """StateError where the folder cannot be made, or another process writes to it."""
        self._slots = Slots(folder, read_only=read_only, after_step=after_step)
        self._clock = clock

    @property
    def read_only(self) -> bool:
        """Whether nothing is written."""
        return self._slots.read_only

    def bundle(self) -> Bundle | None:
        """Return the last good bundle, with the newest bank that was kept for it; None where there is none."""
        data = self._slots.read("bundle")
        if data is None:
            return None
        try:
            bundle = Bundle.from_bytes(data)
        except PersonaError as error:
            self._slots.set_aside("bundle", str(error))
            return None
        return self._with_bank(bundle)

    def vouched_bundle(self) -> Bundle | None:
        """Return the last good bundle where it was kept as vouched for by signatures; None for anybody else's."""
        bundle, named = self.bundle(), self._slots.read("vouched")
        return None if bundle is None or named != bundle.fingerprint.encode() else bundle

    def keep_bundle(self, bundle: Bundle, *, vouched: bool = False) -> None:
        """Keep a bundle, as it was read from its file, as the last good one; what belongs to another is dropped.

        `vouched`: signatures said that it is the right one.
        """
        kept = self.vouched_bundle() if vouched else self.bundle()
        if kept is not None and kept.fingerprint == bundle.fingerprint:  # a newer bank is kept apart
            return
        data = bundle.to_bytes()
        if Bundle.from_bytes(data).fingerprint != bundle.fingerprint:
            raise StateError(
                f"bundle {bundle.fingerprint[:12]} is not as it was read, so it cannot be kept; keep a whole one"
            )
        self._slots.write("bundle", data)
        for name in ("edit", "bank"):
            self._slots.drop(name)
        if vouched:
            self._slots.write("vouched", bundle.fingerprint.encode())

    def keep_bank(self, bank: Bank, fingerprint: str) -> None:
        """Keep a bank that came after the bundle of that fingerprint."""
        facts = {"bundle": fingerprint, "version": bank.version}
        self._slots.write("bank", pack("bank", facts, bank.to_arrays()))

    def edit(self, bundle: Bundle) -> KeptEdit | None:
        """Return the answer that was in force under a bundle; None where none was, or it has expired meanwhile.

        Its arrays fit the bundle in shape and type; whether it fits the data is tried with the first window, as
        `Runtime.resume` says.
        """
        found = self._unpacked("edit", bundle.fingerprint)
        try:
            edit = None if found is None else self._edit(bundle, *found)
        except (PersonaError, ArithmeticError, KeyError, TypeError, ValueError) as error:
            self._slots.set_aside("edit", f"it is no edit of this bundle: {error}")
            return None
        if edit is not None and edit.expires_s <= 0:
            logger.info("the edit that was kept has expired while the device was off")
            return None
        return edit

    def keep_edit(self, edit: KeptEdit | None, fingerprint: str) -> None:
        """Keep the answer in force under the bundle of that fingerprint; None where something else is in force."""
        if edit is None:
            self._slots.drop("edit")
            return
        facts = {
            "bundle": fingerprint,
            "bank_version": edit.bank_version,
            "prototype": edit.prototype,
            "kept_at": self._clock(),
            "expires_s": edit.expires_s if math.isfinite(edit.expires_s) else None,
            "count": edit.place.count,
        }
        arrays: dict[str, npt.NDArray[Any]] = {"place": edit.place.moments}
        if edit.residual is not None:
            arrays["residual"] = edit.residual
        self._slots.write("edit", pack("edit", facts, arrays))

    def trusted(self) -> bytes | None:
        """Return the versions that are trusted, as they were kept; None where there are none.

        StateError where there are some that cannot be read now: beginning anew would let them go back.
        """
        data = self._slots.read("trusted")
        if data is None and self._slots.holds("trusted"):
            raise StateError("the versions that are trusted cannot be read now, and without it versions could go back")
        return data

    def keep_trusted(self, data: bytes) -> None:
        """Keep the versions that are trusted, as bytes of whoever judges them."""
        self._slots.write("trusted", data)

    def close(self) -> None:
        """Give the folder back."""
        self._slots.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _with_bank(self, bundle: Bundle) -> Bundle:
        found = self._unpacked("bank", bundle.fingerprint)
        if found is None:
            return bundle
        try:
            bank = Bank.from_arrays(found[1], int(found[0]["version"]))
            return bundle if bank.version < bundle.bank.version else replace(bundle, bank=bank)
        except (PersonaError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            self._slots.set_aside("bank", f"it is no bank of this bundle: {error}")
            return bundle

    def _unpacked(self, name: str, fingerprint: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """Return facts and arrays of a content that belongs to a bundle; None where there is none."""
        data = self._slots.read(name)
        if data is None:
            return None
        try:
            facts, arrays, _ = unpack(name, data)
        except PersonaError as error:
            self._slots.set_aside(name, str(error))
            return None
        if facts.get("bundle") != fingerprint:
            logger.info("the %s that was kept belongs to another bundle and is left out", name)
            return None
        return facts, arrays

    def _edit(self, bundle: Bundle, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> KeptEdit:
        place, width = arrays["place"], bundle.sketch.taps[0].width
        if place.shape != (width,) or place.dtype != np.float64 or not np.isfinite(place).all():
            raise StateError(
                f"its place is {place.dtype} of shape {place.shape}, wanted float64 ({width},), all finite"
            )
        residual, shape = arrays.get("residual"), bundle.decoder.code_shape
        if residual is not None and (residual.shape != shape or residual.dtype != np.float32):
            raise StateError(f"its residual is {residual.dtype} of shape {residual.shape}, wanted float32 {shape}")
        gone_s, expires_s = self._clock() - float(facts["kept_at"]), math.inf
        if facts["expires_s"] is not None:
            # A clock that went back knows nothing of how long the device was off: then it has expired.
            expires_s = float(facts["expires_s"]) - gone_s if gone_s >= 0 else 0.0
        count = int(facts["count"])
        if count < 0:
            raise StateError(f"its place is of {count} samples")
        place_then = Sketch(count, place, np.zeros(0))
        return KeptEdit(int(facts["prototype"]), residual, place_then, int(facts["bank_version"]), expires_s)
