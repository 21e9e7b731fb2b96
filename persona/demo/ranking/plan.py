"""What a device process is told to do: a file, since it holds no more of the log than its own users' events."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class UserPlan:
    """One user: all events, the first that is asked for, and moments at which lists are written down."""

    user: str
    items: list[int]
    times: list[int]
    start: int
    shown: list[int]


@dataclass(frozen=True)
class RankingPlan:
    """What one device process is to do: its service, its files, its users one after another; ask every so many events.

    `stale` is the file of item vectors from before the broadcast.
    """

    service: str
    out: str
    items: str
    stale: str
    root: str
    every: int
    users: list[UserPlan]

    def write(self, path: Path) -> None:
        """Write the plan for a device process to read: no more of the log than its own users."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> RankingPlan:
        """Read what `write` wrote."""
        values: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**values, "users": [UserPlan(**user) for user in values["users"]]})
