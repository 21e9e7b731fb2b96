"""What the service counts, for Prometheus; docs/metrics.md explains every name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from persona.bundle import Bundle
from persona.edit import Array

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Prototypes from this number on share one label, so that a large bank does not flood whoever collects.
NUMBERED = 256
# Live means forget: so many requests ago counts 1/e.
MEMORY_REQUESTS = 1000
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The service's own registry: nothing is global, so that two services in one process do not mix."""

    def __init__(self) -> None:
        disable_created_metrics()  # a time of creation for every series doubles the page
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "persona_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self._edits = Counter(
            "persona_edits",
            "Requests for an edit: given or refused, and why.",
            ["outcome", "reason"],
            registry=registry,
        )
        self._batches = Histogram("persona_batch_requests", "Requests in a run.", buckets=_SIZES, registry=registry)
        self._latency = Histogram(
            "persona_latency_seconds",
            "Where the time of a request goes.",
            ["part"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._prototypes = Counter(
            "persona_prototype_replies", "Edits given by prototype.", ["bundle", "prototype"], registry=registry
        )
        self._variation = Gauge(
            "persona_prototype_variation", "Live against training shares, 0 to 1.", ["bundle"], registry=registry
        )
        self._distance = Gauge(
            "persona_sketch_distance", "Mean live sketch from that of training.", ["bundle"], registry=registry
        )
        self._version = Gauge("persona_bank_version", "Version of the bank served.", ["bundle"], registry=registry)
        self._queue = Gauge("persona_queue_requests", "Requests that wait for a run.", registry=registry)
        self._held = Gauge("persona_held_body_bytes", "Bytes of bodies in work.", registry=registry)
        self._draining = Gauge("persona_draining", "1 once told to end.", registry=registry)

    def watch(self, queue: Callable[[], float], held: Callable[[], float], draining: Callable[[], bool]) -> None:
        """Ask these whenever somebody collects."""
        self._queue.set_function(queue)
        self._held.set_function(held)
        self._draining.set_function(draining)

    def live(self, bundle: Bundle) -> Live:
        """Return what follows one bundle's requests."""
        name = bundle.fingerprint[:12]
        self._version.labels(name).set(bundle.bank.version)
        return Live(bundle, self._prototypes, self._variation.labels(name), self._distance.labels(name))

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(path, str(status)).inc()
        self._latency.labels("whole").observe(seconds)

    def edit(self, refused: str | None = None) -> None:
        """Count an edit that was given, or refused for a reason."""
        self._edits.labels("given" if refused is None else "refused", refused or "").inc()

    def body(self, seconds: float) -> None:
        """Say how long a body took to come."""
        self._latency.labels("body").observe(seconds)

    def run(self, waited_s: Sequence[float], seconds: float) -> None:
        """Say how long the requests of a run waited for it, and how long it took."""
        self._batches.observe(len(waited_s))
        self._latency.labels("encoder").observe(seconds)
        for one in waited_s:
            self._latency.labels("queue").observe(one)

    def page(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)


class Live:
    """One bundle's live sketches and prototypes, as forgetting means."""

    def __init__(self, bundle: Bundle, replies: Counter, variation: Gauge, distance: Gauge) -> None:
        self._name = bundle.fingerprint[:12]
        self._replies, self._variation, self._distance = replies, variation, distance
        counts = bundle.bank.counts
        self._trained = counts / max(int(counts.sum()), 1)
        self._shares = np.zeros(len(counts))
        self._sketch = np.zeros(bundle.sketch.n_features)
        self._seen = self._sketches = 0

    def answered(self, prototypes: Sequence[int], sketches: Sequence[Array]) -> None:
        """Take in the prototypes of a run, and the sketches among its requests."""
        for number in prototypes:
            label = str(number) if number < NUMBERED else "more"
            self._replies.labels(self._name, label).inc()
        shares = np.bincount(prototypes, minlength=len(self._shares)) / len(prototypes)
        self._shares = _towards(self._shares, shares, len(prototypes), self._seen)
        self._seen += len(prototypes)
        if self._trained.any():
            self._variation.set(0.5 * float(np.abs(self._shares - self._trained).sum()))
        if sketches:
            self._sketch = _towards(self._sketch, np.mean(sketches, axis=0), len(sketches), self._sketches)
            self._sketches += len(sketches)
            self._distance.set(float(np.sqrt(np.mean(self._sketch**2))))


def _towards(mean: np.ndarray, new: np.ndarray, count: int, seen: int) -> np.ndarray:
    """Return a mean that was over `seen` and takes in `count` more; it forgets what is long ago."""
    weight = max(count / (seen + count), 1 - np.exp(-count / MEMORY_REQUESTS))
    return np.asarray(mean + weight * (new - mean))
