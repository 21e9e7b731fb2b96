"""A worker's task that outlasts any test: it says that it is there, and stays."""

from __future__ import annotations

import socket
import threading


def linger(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"alive")
        threading.Event().wait(300)
