"""What a device says about itself: what is in force, what became of its requests, how long an edit took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ApplyTime:
    """Microseconds from a reply to its edit in force, part by part.

    `decode_us` code → edit, turned down; `check_us` the learned part against spec and bounds, W + Δ computed and made
    ready; `trial_us` the passes that settle the device's own statistics into it, where it has them, and the shadow
    trial on the last batch; `swap_us` the test for a late answer and the exchange of one reference.
    """

    decode_us: float
    check_us: float
    trial_us: float
    swap_us: float


@dataclass(frozen=True)
class Status:
    """A device at one moment.

    `in_force` is ``base``, ``prototype 3``, ``prototype 3 + residual`` or ``by hand``; `rung` where that stands:
    ``base``, ``default``, ``prototype`` (the device's own choice), ``answer`` or ``by hand``. `placement` where the
    adapter runs. `asks` requests made, `replies` answers received, `refused` how often something did not come into
    force (a request without a usable answer, a kept answer, a prototype), `reason` why the last one did not, empty
    where the last answer did. `bytes_up` and `bytes_down` count message bodies, without what a signed exchange adds to
    them (8 and 64), 0 where nothing leaves the device. `latency_s` from the last request to its answer.

    Of the guard: `strain` what speaks against the edit in force, `cloud_strain` against its sender, both sums that
    raise the alarm above `persona.device.watch.ALARM`; `falls` alarms under an edit so far (an expiry is none),
    `climbs` steps up without an answer; `guarded` what the guard did last, and why. `storage` why the state on disk is
    older than this, empty where it is not, or nothing is kept.
    """

    in_force: str
    bank_version: int
    rung: str = "base"
    placement: str = "device"
    asks: int = 0
    replies: int = 0
    refused: int = 0
    reason: str = ""
    jumps: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    apply_time: ApplyTime | None = None
    latency_s: float | None = None
    strain: float = 0.0
    cloud_strain: float = 0.0
    falls: int = 0
    climbs: int = 0
    guarded: str = ""
    storage: str = ""
