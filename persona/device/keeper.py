"""Keeps what is in force on disk, behind the predictions' back: a disk that is slow or full never shows in them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np

from persona.bundle import Bundle
from persona.device.guard import shadow_trial
from persona.device.model import DeviceModel, Weights
from persona.device.store import KeptEdit, Store
from persona.errors import PersonaError
from persona.sketch import Sketch

logger = logging.getLogger(__name__)


class Keeper:
    """Writes to a store on an executor: a given one, or a thread of its own. Without a store it does nothing.

    Of edits that follow each other faster than the disk writes, the last is kept. Many threads may call every method.
    """

    def __init__(
        self, store: Store | None, bundle: Bundle, executor: Executor | None, clock: Callable[[], float]
    ) -> None:
        """Keep the bundle, which has been seen to run, as the last good one. `clock` is that of times of expiry."""
        self._store = None if store is None or store.read_only else store
        self._bundle = bundle
        self._clock = clock
        self._given, self._own = executor, None
        if self._store is not None and executor is None:
            self._own = ThreadPoolExecutor(1, thread_name_prefix="persona-keep")
        self._writing = threading.Lock()
        self._lock = threading.Lock()  # of the next line alone; never held during a write
        self._waiting: list[KeptEdit | None] = []
        self._has_bundle = False
        self.problem = ""
        self._write()

    def keep(self, name: str, weights: Weights | None, place: Sketch, expires_at: float) -> None:
        """Keep what is in force from now on; no weights for the base model. Returns before it is written."""
        executor = self._given or self._own
        if self._store is None or executor is None:
            return
        lasts_s = expires_at - self._clock()
        with self._lock:
            self._waiting = [None if weights is None else KeptEdit(name, weights.arrays, place, lasts_s)]
        try:
            executor.submit(self._write)
        except RuntimeError as error:
            self.problem = f"{name} is not kept: the executor takes no work ({error})"

    def close(self) -> None:
        """Wait for what is being written, where the thread is our own."""
        if self._own is not None:
            self._own.shutdown()

    def _write(self) -> None:
        """Write the bundle, unless that is done, and then what waits."""
        if self._store is None:
            return
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, []
            try:
                if not self._has_bundle:
                    self._store.keep_bundle(self._bundle)
                    self._has_bundle = True
                for edit in waiting:
                    self._store.keep_edit(edit, self._bundle.fingerprint)
                self.problem = ""
            except PersonaError as error:
                self.problem = str(error)
                logger.warning("%s", error)


def resumed(store: Store | None, bundle: Bundle, model: DeviceModel) -> tuple[KeptEdit, Weights] | None:
    """Return what was in force when the state was last kept, its weights checked; None where nothing safe was."""
    kept = None if store is None else store.edit(bundle)
    if kept is None:
        return None
    try:
        weights = model.restored(kept.weights)
        shadow_trial(model, weights, np.zeros((1, *bundle.input_shape), np.float32))
    except PersonaError as error:
        logger.warning("%s does not come into force again: %s", kept.name, error)
        return None
    logger.info("%s is in force again", kept.name)
    return kept, weights
