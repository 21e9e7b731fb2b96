"""On the device: numpy and onnxruntime, never torch. Predict at once; follow the data by forward passes.

What talks to the network, or checks signatures, is imported when it is first asked for: a device without a cloud does
not carry it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from persona.device.in_force import KeptEdit
from persona.device.model import DeviceModel, Weights
from persona.device.options import Options
from persona.device.placements import OwnAdapter, Placement
from persona.device.policies import (
    Backoff,
    EveryN,
    LearnedDetector,
    Observation,
    OnDrift,
    OnJump,
    Pace,
    Policy,
    Standard,
    fit_detector,
)
from persona.device.ranking import Catalogue
from persona.device.ranking_runtime import RankingRuntime
from persona.device.recommender import Ranked, Recommender
from persona.device.runtime import Runtime
from persona.device.status import ApplyTime, Status
from persona.device.store import Store

if TYPE_CHECKING:
    from persona.device.cloud import Cloud, HttpCloud, enrol, fetch_bundle, fetch_items
    from persona.device.identity import Identity
    from persona.device.trusting import kept_trust
    from persona.trust import Trust, Unsigned

_LATER = {
    **dict.fromkeys(("Cloud", "HttpCloud", "enrol", "fetch_bundle", "fetch_items"), "persona.device.cloud"),
    **dict.fromkeys(("Trust", "Unsigned"), "persona.trust"),
    "Identity": "persona.device.identity",
    "kept_trust": "persona.device.trusting",
}

__all__ = [
    "ApplyTime",
    "Backoff",
    "Catalogue",
    "Cloud",
    "DeviceModel",
    "EveryN",
    "HttpCloud",
    "Identity",
    "KeptEdit",
    "LearnedDetector",
    "Observation",
    "OnDrift",
    "OnJump",
    "Options",
    "OwnAdapter",
    "Pace",
    "Placement",
    "Policy",
    "Ranked",
    "RankingRuntime",
    "Recommender",
    "Runtime",
    "Standard",
    "Status",
    "Store",
    "Trust",
    "Unsigned",
    "Weights",
    "enrol",
    "fetch_bundle",
    "fetch_items",
    "fit_detector",
    "kept_trust",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
