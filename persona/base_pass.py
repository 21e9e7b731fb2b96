"""A pass of a bundle's graph under its base weights: how the cloud takes the sketch that a device would have sent."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import onnxruntime as ort

from persona.bundle import Bundle
from persona.edit import Array
from persona.errors import BundleError, UnusableRequest
from persona.sketch import Sketch


class BasePass:
    """One onnxruntime session over a bundle's graph, opened when the first samples come: few services meet any."""

    def __init__(self, bundle: Bundle) -> None:
        self._graph, self._sketch, self._weights = bundle.graph, bundle.sketch, dict(bundle.weights)

    @cached_property
    def _session(self) -> ort.InferenceSession:
        return open_session(self._graph, "bundle's graph")

    def features(self, samples: Array) -> Array:
        """Return the features (F,) that a device would send for samples (S, …), rounded as they travel.

        BundleError where onnxruntime refuses the graph; UnusableRequest where the graph fails on the samples, or none
        of them has finite moments.
        """
        session = self._session
        try:
            logits, moments = session.run(["logits", "moments"], {"x": samples, **self._weights})
        except Exception as error:  # onnxruntime's exceptions have no root of their own
            raise UnusableRequest(f"the bundle's graph fails on samples of shape {samples.shape}: {error}") from error
        sketch = Sketch.of(self._sketch, moments, logits)
        if not sketch.count:
            raise UnusableRequest("no sample of a request has finite moments; send ordinary values")
        return sketch.travelling(self._sketch).astype(np.float32)


def open_session(graph: bytes, what: str) -> ort.InferenceSession:
    """Return a session of one thread; BundleError that names what onnxruntime refuses."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # failures come back as exceptions, with their text
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise BundleError(f"a {what} cannot be loaded ({error}); export it anew") from error
