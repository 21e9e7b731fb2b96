"""The adapter's encoder in onnxruntime: what devices sent → codes, many requests in one run.

It runs in the service, or on a device that adapts without one: the same code either way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from persona.base_pass import BasePass, open_session
from persona.bundle import Bundle, CloudHalf
from persona.edit import Array
from persona.errors import BundleError, ServiceError, UnusableRequest
from persona.sketch import FEATURE_LIMIT
from persona.wire import AdaptRequest

# How far a code may move when other requests share its run: rounding does less, mixed-up rows do more.
_MATE_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples (S, …) of a device whose sketch is still to be taken."""

    values: Array


Accepted = Array | Samples


class Encoder:
    """One onnxruntime session over the encoder graph of a bundle.

    Inputs of the graph: ``features`` (B, F), or ``samples`` (B, S, *input_shape) and ``mask`` (B, S); output
    ``codes`` (B, n, d); all float32. Where it reads features, samples are welcome too: the bundle's own graph makes
    features of them. BundleError where it has others, or mixes the requests of a batch.
    """

    def __init__(self, cloud: CloudHalf, bundle: Bundle) -> None:
        """Load the graph and try it."""
        self._context = bundle.context
        self._longest = bundle.support[1]
        self._code_shape = bundle.decoder.code_shape
        self._row = (bundle.sketch.n_features,) if bundle.context == "sketch" else bundle.input_shape
        self._input_shape = bundle.input_shape
        self._base_pass = BasePass(bundle) if bundle.context == "sketch" else None
        self._session = open_session(cloud.encoder, "cloud bundle's encoder")
        wanted: dict[str, tuple[int | None, ...]] = {"features": (None, *self._row)}
        if bundle.context == "samples":
            wanted = {"samples": (None, None, *self._row), "mask": (None, None)}
        _check_ports("input", self._session.get_inputs(), wanted)
        _check_ports("output", self._session.get_outputs(), {"codes": (None, *self._code_shape)})
        self._check_independence()

    @property
    def largest_bytes(self) -> int:
        """Bytes of the largest request that `accept` lets through, in float32."""
        return 4 * max(math.prod(self._row), self._longest * math.prod(self._input_shape))

    def accept(self, request: AdaptRequest) -> Accepted:
        """Return a request's values as float32, ready for `codes`.

        UnusableRequest where they are not what this encoder reads.
        """
        values = request.values.astype(np.float32)
        if request.context == "samples":
            self._check_samples(values, request.count)
            return values if self._base_pass is None else Samples(values)
        if self._context != "sketch":
            raise UnusableRequest(f"a request brings {request.context}; this bundle reads {self._context}")
        self._check_sketch(values, request.count)
        return values

    def codes(self, accepted: Sequence[Accepted]) -> Array:
        """Return the codes (B, n, d) of values that `accept` returned, in one run.

        ServiceError where the graph fails, UnusableRequest where a code is not finite. Either speaks of the
        whole batch: only single runs tell whose fault it is.
        """
        rows = [self._row_of(one) for one in accepted]
        feeds = {"features": np.stack(rows)} if self._context == "sketch" else _pad(rows)
        try:
            (codes,) = self._session.run(["codes"], feeds)
        except Exception as error:  # onnxruntime's exceptions have no root of their own
            raise ServiceError(f"the encoder failed on a run of {len(accepted)} requests") from error
        if codes.shape != (len(accepted), *self._code_shape):
            raise ServiceError(f"the encoder gave {codes.shape}; wanted {(len(accepted), *self._code_shape)}")
        if not np.isfinite(codes).all():
            raise UnusableRequest("the encoder finds no finite code for a request; send ordinary values")
        return np.asarray(codes, np.float32)

    def _row_of(self, accepted: Accepted) -> Array:
        if not isinstance(accepted, Samples):
            return accepted
        if self._base_pass is None:
            raise ServiceError("samples without a sketch reached an encoder that reads samples")
        try:
            return self._base_pass.features(accepted.values)
        except BundleError as error:
            raise ServiceError(f"no sketch can be taken of samples: {error}") from error

    def _check_sketch(self, features: Array, count: int) -> None:
        if features.shape != self._row or count < 1:
            raise UnusableRequest(
                f"a sketch has shape {features.shape}, of {count} samples; "
                f"this bundle needs {self._row}, of one or more"
            )
        if np.abs(features).max() > FEATURE_LIMIT:
            raise UnusableRequest(f"a sketch has features beyond ±{FEATURE_LIMIT:g}; clip them as devices do")

    def _check_samples(self, samples: Array, count: int) -> None:
        if samples.shape[1:] != self._input_shape or len(samples) > self._longest:
            raise UnusableRequest(
                f"a request's samples have shape {samples.shape}; "
                f"this bundle needs {('S', *self._input_shape)} with S up to {self._longest}"
            )
        if len(samples) != count:
            raise UnusableRequest(f"a request brings {len(samples)} samples and counts {count}; say one number")

    def _check_independence(self) -> None:
        """Encode two made-up requests together and apart; BundleError where that makes a difference."""
        shapes = [self._row, self._row]
        if self._context == "samples":
            shapes = [(length, *self._row) for length in (1, self._longest)]
        probes = [np.full(shape, value, np.float32) for shape, value in zip(shapes, (0.0, 1.0), strict=True)]
        try:
            together = self.codes(probes)
            apart = np.concatenate([self.codes([probe]) for probe in probes])
        except (ServiceError, UnusableRequest) as error:
            reason = error.__cause__ or error
            raise BundleError(f"a cloud bundle's encoder does not run ({reason}); export it anew") from error
        if not np.allclose(together, apart, rtol=0, atol=_MATE_TOLERANCE):
            raise BundleError("a cloud bundle's encoder mixes the requests that share a run; export it anew")


def _check_ports(what: str, found: Sequence[ort.NodeArg], wanted: Mapping[str, tuple[int | None, ...]]) -> None:
    """BundleError where names, types or shapes differ; None stands for an axis that must take any length."""
    names = sorted(port.name for port in found)
    if names != sorted(wanted):
        raise BundleError(f"a cloud bundle's encoder has the {what}s {names}; wanted {sorted(wanted)}")
    for port in found:
        shape = wanted[port.name]
        fixed = [n if isinstance(n, int) else None for n in port.shape]
        fits = len(fixed) == len(shape) and all(n in (None, m) for n, m in zip(fixed, shape, strict=True))
        if port.type != "tensor(float)" or not fits:
            raise BundleError(
                f"the {what} {port.name!r} of a cloud bundle's encoder is {port.type} of shape {port.shape}; "
                f"wanted tensor(float) of shape {shape}, where None takes any length"
            )


def _pad(sets: Sequence[Array]) -> dict[str, Array]:
    """Return samples (B, S, …) and mask (B, S) for sets (S_i, …): zeros behind the shorter ones."""
    longest = max(len(samples) for samples in sets)
    padded = np.zeros((len(sets), longest, *sets[0].shape[1:]), np.float32)
    mask = np.zeros((len(sets), longest), np.float32)
    for row, samples in enumerate(sets):
        padded[row, : len(samples)] = samples
        mask[row, : len(samples)] = 1.0
    return {"samples": padded, "mask": mask}
