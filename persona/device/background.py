"""One job at a time, in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager

from persona.errors import CloudError


class Background:
    """Runs jobs on an executor: a given one, or a thread of its own that starts with the first job."""

    def __init__(self, executor: Executor | None) -> None:
        self._given = executor
        self._own: ThreadPoolExecutor | None = None
        self._turn = threading.Lock()
        self._closed = False

    def start_if(self, wanted: Callable[[], bool], job: Callable[[], None]) -> None:
        """Start a job, unless one runs, it is not wanted, or this is closed.

        CloudError where the executor refuses it.
        """
        if self._closed or not self._turn.acquire(blocking=False):
            return
        future: Future[None] | None = None
        try:
            if not self._closed and wanted():
                future = self._executor().submit(job)
        except RuntimeError as error:
            raise CloudError(f"the executor takes no requests ({error}); give the runtime one that runs") from error
        finally:
            if future is None:
                self._turn.release()
        if future is not None:
            # Rather than at the end of the job, so that a job that its executor drops gives its turn back too.
            future.add_done_callback(lambda _: self._turn.release())

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Wait for the job that runs, hold the turn meanwhile, and say whether this is still open."""
        with self._turn:
            yield not self._closed

    def close(self) -> None:
        """Start nothing more. Wait for the job that runs, where the thread is our own."""
        self._closed = True
        if self._own is not None:
            self._own.shutdown()

    def _executor(self) -> Executor:
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = ThreadPoolExecutor(1, thread_name_prefix="persona-ask")
        return self._own
