"""A worker's task that outlasts any test: it says who it is, and stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def linger(folder: str) -> None:
    part = Path(folder) / "part"
    part.write_text(str(os.getpid()))
    part.rename(Path(folder) / "worker")
    threading.Event().wait(300)
