"""Settings of a device that seldom change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from persona.device.graph import RunsOn
from persona.device.placements import PLACEMENTS, Placement
from persona.device.policies import Pace
from persona.device.policies.schedule import Dice
from persona.device.store import Store
from persona.errors import DataError


@dataclass(frozen=True)
class Options:
    """Settings that seldom change.

    `placement` where the adapter runs: ``cloud`` (recent samples go up), ``split`` (their sketch goes up), ``device``
    (nothing does); None takes what the bundle's adapter reads where there is a cloud, and the device where there is
    none. `pace` keeps requests to what a service can bear. `sketch_share` of the samples, in (0, 1], pass a second time
    under base weights while an edit is in force, so that the sketch means the same whichever edit that is, and the
    guard can compare; `threads` of one run. `prior` False leaves out the prior term of a bundle that has one, `guard`
    False the tether and the watch. `rng` throws the dice of waits; None for those of the
    system (numpy's would cost a device 7 MB). `runs_on` onnxruntime,
    numpy, or whichever is there. `store` keeps the bundle and the answer in force on disk; it is not closed here.
    """

    placement: Placement | None = None
    pace: Pace = field(default_factory=Pace)
    sketch_share: float = 1.0
    threads: int = 1
    prior: bool = True
    guard: bool = True
    rng: Dice | None = None
    runs_on: RunsOn = "auto"
    store: Store | None = None

    def __post_init__(self) -> None:
        """DataError where the share is none, or the placement or what it runs on unknown."""
        if not 0 < self.sketch_share <= 1:
            raise DataError(f"sketch_share is {self.sketch_share}; wanted a share above 0, 1 at most")
        if self.placement is not None and self.placement not in PLACEMENTS:
            raise DataError(f"placement is {self.placement!r}; wanted one of {', '.join(PLACEMENTS)}")
        if self.runs_on not in get_args(RunsOn):
            raise DataError(f"runs_on is {self.runs_on!r}; wanted one of {', '.join(get_args(RunsOn))}")


DEFAULTS = Options()
