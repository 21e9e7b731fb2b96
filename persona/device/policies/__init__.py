"""When to ask the cloud: a policy says when it is worth a request, a pace keeps a fleet from becoming a storm."""

from persona.device.policies.base import Observation, Policy
from persona.device.policies.learned import LearnedDetector, fit_detector
from persona.device.policies.page_hinkley import OnDrift, PageHinkley
from persona.device.policies.schedule import Backoff, Pace, Schedule, TokenBucket
from persona.device.policies.simple import EveryN, OnJump, Standard

__all__ = [
    "Backoff",
    "EveryN",
    "LearnedDetector",
    "Observation",
    "OnDrift",
    "OnJump",
    "Pace",
    "PageHinkley",
    "Policy",
    "Schedule",
    "Standard",
    "TokenBucket",
    "fit_detector",
]
