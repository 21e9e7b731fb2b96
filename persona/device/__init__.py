"""On the device: numpy, onnxruntime and urllib3, never torch. Predict at once; follow the data by forward passes."""

from persona.device.cloud import Cloud, HttpCloud, fetch_bundle, fetch_items
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
from persona.trust import Trust, Unsigned

__all__ = [
    "ApplyTime",
    "Backoff",
    "Catalogue",
    "Cloud",
    "DeviceModel",
    "EveryN",
    "HttpCloud",
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
    "Trust",
    "Unsigned",
    "Weights",
    "fetch_bundle",
    "fetch_items",
    "fit_detector",
]
