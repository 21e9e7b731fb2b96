"""Keeps what is in force on disk, behind the predictions' back: a disk that is slow or full never shows in them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from persona.bundle import Bundle
from persona.device.in_force import InForce
from persona.device.store import Store
from persona.errors import PersonaError

logger = logging.getLogger(__name__)


class Keeper:
    """Writes to a store on an executor: a given one, or a thread of its own. Without a store it does nothing.

    Of answers that follow each other faster than the disk writes, the last is kept; where anything but an answer comes
    into force, none is. Many threads may call every method.
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
        self._waiting: list[InForce] = []
        self._has_bundle = False
        self.problem = ""
        self._write()

    def keep(self, in_force: InForce) -> None:
        """Keep what is in force from now on. Returns before it is written."""
        executor = self._given or self._own
        if self._store is None or executor is None:
            return
        with self._lock:
            self._waiting = [in_force]
        try:
            executor.submit(self._write)
        except RuntimeError as error:
            self.problem = f"{in_force.name} is not kept: the executor takes no work ({error})"

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
                for one in waiting:
                    kept = one.kept(self._bundle.bank.version, self._clock())
                    self._store.keep_edit(kept, self._bundle.fingerprint)
                self.problem = ""
            except PersonaError as error:
                self.problem = str(error)
                logger.warning("%s", error)
