"""On the device: numpy, onnxruntime and urllib3, never torch. Predict at once; follow the data by forward passes.

What talks to the network is imported when it is first asked for: a device without a cloud does not carry it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from persona.device.model import DeviceModel, Weights
from persona.device.policies import Backoff, EveryN, Observation, OnJump, Policy, Standard
from persona.device.runtime import Options, Runtime
from persona.device.status import ApplyTime, Status
from persona.device.store import KeptEdit, Store

if TYPE_CHECKING:
    from persona.device.cloud import Cloud, HttpCloud, fetch_bundle

_OF_THE_NETWORK = ("Cloud", "HttpCloud", "fetch_bundle")

__all__ = [
    "ApplyTime",
    "Backoff",
    "Cloud",
    "DeviceModel",
    "EveryN",
    "HttpCloud",
    "KeptEdit",
    "Observation",
    "OnJump",
    "Options",
    "Policy",
    "Runtime",
    "Standard",
    "Status",
    "Store",
    "Weights",
    "fetch_bundle",
]


def __getattr__(name: str) -> Any:
    if name not in _OF_THE_NETWORK:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("persona.device.cloud"), name)
