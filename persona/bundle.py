"""Bundles: what a device needs (graph, base weights, decoder, bank) and what the cloud keeps (the encoder).

`export` writes two files. ``device.persona`` goes to every device; ``cloud.persona`` stays with the service and names
the fingerprint of the device bundle that it belongs to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from persona.bank import Bank
from persona.container import SIZE_LIMIT_BYTES, pack, unpack
from persona.decoder import Decoder
from persona.edit import Array
from persona.errors import BundleError, PersonaError, SpecError
from persona.files import write_together
from persona.gate import SketchGate
from persona.jump import JumpSpec
from persona.mixture import MixtureTest
from persona.prior import PriorNet
from persona.ranking import EVENT_SHAPE, RankingSpec
from persona.renorm import Renorm, RenormLayer
from persona.sketch import SketchSpec
from persona.spec import ModelSpec
from persona.tether import Tether
from persona.wire import REQUEST_LIMIT_BYTES

DEVICE_FILE = "device.persona"
CLOUD_FILE = "cloud.persona"
CONTEXTS = ("sketch", "samples")
# A device remembers this many samples at most, whatever a bundle says.
SUPPORT_LIMIT = 4096
# Room for what a request has before its values.
_HEADER_BYTES = 64

# Every array of a bundle is float32, but for these.
_DTYPES = {"graph.onnx": "uint8", "encoder.onnx": "uint8", "bank/counts": "int64"}
# Parts that a bundle may lack; their arrays stand under these.
_OPTIONAL = ("renorm/", "gate/", "prior/", "tether/", "mixture/")


@dataclass(frozen=True)
class Bundle:
    """The device's half.

    `graph` an ONNX model: inputs ``x`` (N, *input_shape) float32 and one per editable tensor; outputs ``logits`` (N, C)
    and ``moments`` (N, M). `weights` the base values of the editable tensors. `context` what the adapter reads
    ("sketch" or "samples"), `support` of how many samples at least, at most. `about` free facts for people.

    What a device may do by itself beside that, None where it does not: `renorm` settles statistics of its own samples
    into every edit, `gate` turns edits and the prior term down on unfamiliar data, `prior` adds a bias to the logits,
    `tether` refuses answers that lie too far from its own map's, `mixture` turns edits down where its samples are of
    several domains, `encoder` is the adapter itself (see `CloudHalf`). `ranking` is there where
    the graph gives queries for a catalogue of items rather than logits.
    """

    graph: bytes
    weights: Mapping[str, Array]
    decoder: Decoder
    bank: Bank
    sketch: SketchSpec
    jump: JumpSpec
    input_shape: tuple[int, ...]
    context: str = "sketch"
    support: tuple[int, int] = (8, 32)
    about: Mapping[str, Any] = field(default_factory=dict)
    renorm: Renorm | None = None
    gate: SketchGate | None = None
    prior: PriorNet | None = None
    tether: Tether | None = None
    mixture: MixtureTest | None = None
    encoder: bytes | None = None
    ranking: RankingSpec | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        """BundleError where the parts do not belong together."""
        self._check_weights()
        self._check_optional()
        if self.bank.code_shape != self.decoder.code_shape:
            raise BundleError(
                f"a bundle's bank has codes {self.bank.code_shape}, its decoder {self.decoder.code_shape}"
            )
        if self.bank.map_weight.shape[0] != self.sketch.n_features:
            raise BundleError(
                f"a bundle's bank maps {self.bank.map_weight.shape[0]} features, "
                f"its sketch has {self.sketch.n_features}"
            )
        if self.jump.noise.size != self.sketch.taps[0].width:
            raise BundleError(
                f"a bundle's jump test has noise of {self.jump.noise.size} features, "
                f"the first tap of its sketch {self.sketch.taps[0].width}"
            )
        if min(self.input_shape, default=1) < 1:
            raise BundleError(f"a bundle's input has shape {self.input_shape} behind N; wanted no empty axis")
        if self.context not in CONTEXTS or not 1 <= self.support[0] <= self.support[1] <= SUPPORT_LIMIT:
            raise BundleError(
                f"a bundle has context {self.context!r}, support {self.support}; wanted one of {CONTEXTS}, "
                f"and least and most samples from 1 to {SUPPORT_LIMIT}"
            )
        if self.context == "samples" and self.samples_bytes > REQUEST_LIMIT_BYTES:
            raise BundleError(
                f"a request of {self.support[1]} samples of shape {self.sample_shape} would take "
                f"{self.samples_bytes:,} bytes, "
                f"the limit is {REQUEST_LIMIT_BYTES:,}; train with fewer support samples, or with an adapter that "
                "reads sketches"
            )

    def _check_weights(self) -> None:
        extra = self.weights.keys() - set(self.spec.names)
        if extra:
            raise BundleError(f"a bundle has the weight {min(extra)!r}, which its spec does not list; leave it out")
        for tensor in self.spec.tensors:
            found = self.weights[tensor.name].shape if tensor.name in self.weights else None
            if found != tensor.shape:
                raise BundleError(f"a bundle's weight {tensor.name!r} has shape {found}; its spec says {tensor.shape}")
            if not np.isfinite(self.weights[tensor.name]).all():
                raise BundleError(f"a bundle's weight {tensor.name!r} has entries that are not finite; train anew")

    def _check_optional(self) -> None:
        for layer in () if self.renorm is None else self.renorm.layers:
            _check_renormalised(layer, self.sketch, self.weights)
        if self.gate is not None and self.gate.center.size != self.sketch.n_features:
            raise BundleError(
                f"a bundle's gate reads {self.gate.center.size} features, its sketch has {self.sketch.n_features}"
            )
        if self.mixture is not None and self.mixture.center.size != self.sketch.n_moments:
            raise BundleError(
                f"a bundle's mixture test reads {self.mixture.center.size} moments, its sketch has "
                f"{self.sketch.n_moments}"
            )
        if self.prior is not None and not self.sketch.n_classes:
            raise BundleError("a bundle has a prior term, but its sketch has no classes; leave the prior out")
        if self.tether is not None:
            width, default = len(self.tether.metric), self.tether.default
            if width != self.bank.map_bias.size or (default is not None and default >= len(self.bank)):
                raise BundleError(
                    f"a bundle's tether measures codes of width {width} and has default {default}; its bank has "
                    f"{len(self.bank)} codes of width {self.bank.map_bias.size}"
                )
        if self.ranking is not None and (len(self.input_shape) != 1 or self.context != "samples"):
            raise BundleError(
                f"a bundle that ranks items reads {self.context} and windows of shape {self.input_shape}; "
                "wanted samples, which are events, and windows of shape (L,)"
            )

    @property
    def spec(self) -> ModelSpec:
        """The editable tensors."""
        return self.decoder.spec

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """What one sample of a request looks like: the graph's input, or an event where items are ranked."""
        return self.input_shape if self.ranking is None else EVENT_SHAPE

    @property
    def samples_bytes(self) -> int:
        """What a request that brings samples takes at most."""
        return _HEADER_BYTES + 4 * self.support[1] * math.prod(self.sample_shape)

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        facts = {
            "spec": self.spec.to_json(),
            "code_shape": list(self.decoder.code_shape),
            "sketch": self.sketch.to_json(),
            "jump": {"threshold": self.jump.threshold, "window": self.jump.window},
            "bank_version": self.bank.version,
            "input_shape": list(self.input_shape),
            "context": self.context,
            "support": list(self.support),
            "about": dict(self.about),
            **({} if self.ranking is None else {"ranking": self.ranking.to_json()}),
        }
        return pack("device", facts, self._arrays())

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "graph.onnx": np.frombuffer(self.graph, np.uint8),
            "sketch/center": self.sketch.center,
            "sketch/scale": self.sketch.scale,
            "jump/noise": self.jump.noise,
            **{f"weights/{name}": value for name, value in self.weights.items()},
            **{f"decoder/{name}": value for name, value in self.decoder.to_arrays().items()},
            **{f"bank/{name}": value for name, value in self.bank.to_arrays().items()},
            **({} if self.renorm is None else {f"renorm/{n}": v for n, v in self.renorm.to_arrays().items()}),
            **({} if self.gate is None else {f"gate/{n}": v for n, v in self.gate.to_arrays().items()}),
            **({} if self.prior is None else {f"prior/{n}": v for n, v in self.prior.to_arrays().items()}),
            **({} if self.tether is None else {f"tether/{n}": v for n, v in self.tether.to_arrays().items()}),
            **({} if self.mixture is None else {f"mixture/{n}": v for n, v in self.mixture.to_arrays().items()}),
            **({} if self.encoder is None else {"encoder.onnx": np.frombuffer(self.encoder, np.uint8)}),
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Bundle:
        """Read what `to_bytes` wrote; BundleError (see `container.unpack`) where it is something else."""
        facts, arrays, fingerprint = unpack("device", data)
        _check_arrays(arrays)
        try:
            bundle = cls._from_parts(facts, arrays, fingerprint)
        except BundleError:
            raise
        except KeyError as error:
            raise BundleError(f"a bundle lacks its {error}; export it anew") from error
        except (PersonaError, TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"a bundle's parts do not fit together: {error}") from error
        extra = arrays.keys() - bundle._arrays().keys()
        if extra:
            raise BundleError(f"a bundle has an array {min(extra)!r} that nothing in it uses; export it anew")
        return bundle

    @classmethod
    def _from_parts(cls, facts: Mapping[str, Any], arrays: Mapping[str, Any], fingerprint: str) -> Bundle:
        spec = ModelSpec.from_json(facts["spec"])
        rows, width = (int(n) for n in facts["code_shape"])
        low, high = (int(n) for n in facts["support"])
        jump = facts["jump"]
        sketch = SketchSpec.from_json(facts["sketch"], arrays["sketch/center"], arrays["sketch/scale"])
        return cls(
            graph=arrays["graph.onnx"].tobytes(),
            weights=_within(arrays, "weights/"),
            decoder=Decoder.from_arrays(spec, (rows, width), _within(arrays, "decoder/")),
            bank=Bank.from_arrays(_within(arrays, "bank/"), int(facts["bank_version"])),
            sketch=sketch,
            jump=JumpSpec(arrays["jump/noise"], float(jump["threshold"]), int(jump["window"])),
            input_shape=tuple(int(n) for n in facts["input_shape"]),
            context=str(facts["context"]),
            support=(low, high),
            about=dict(facts["about"]),
            ranking=RankingSpec.from_json(facts["ranking"]) if "ranking" in facts else None,
            **_optional_parts(sketch, arrays),
            encoder=arrays["encoder.onnx"].tobytes() if "encoder.onnx" in arrays else None,
            fingerprint=fingerprint,
        )


@dataclass(frozen=True)
class CloudHalf:
    """The service's half: an ONNX encoder and the fingerprint of the device bundle it belongs to.

    Encoder inputs: ``features`` (B, F), or ``samples`` (B, S, …) and ``mask`` (B, S) float32; output ``codes``
    (B, n, d).
    """

    encoder: bytes
    bundle_fingerprint: str

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return pack(
            "cloud",
            {"bundle": self.bundle_fingerprint},
            {"encoder.onnx": np.frombuffer(self.encoder, np.uint8)},
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> CloudHalf:
        """Read what `to_bytes` wrote; BundleError where it is something else."""
        facts, arrays, _ = unpack("cloud", data)
        _check_arrays(arrays)
        found = facts.get("bundle")
        if arrays.keys() != {"encoder.onnx"}:
            raise BundleError(f"a cloud bundle holds {sorted(arrays)}; wanted encoder.onnx alone: export it anew")
        if not isinstance(found, str) or not re.fullmatch("[0-9a-f]{64}", found):
            raise BundleError(f"a cloud bundle names device bundle {found!r}; wanted 64 hexadecimal digits")
        return cls(arrays["encoder.onnx"].tobytes(), found)


def read_bundle(path: Path) -> Bundle:
    """Read a device bundle from a file, or from the folder that `export` wrote; BundleError where there is none."""
    return Bundle.from_bytes(read_file(path / DEVICE_FILE if path.is_dir() else path))


def read_cloud_half(folder: Path) -> CloudHalf:
    """Read the service's half from the folder that `export` wrote; BundleError where there is none."""
    return CloudHalf.from_bytes(read_file(folder / CLOUD_FILE))


def write_export(folder: Path, bundle: Bundle, encoder: bytes) -> Bundle:
    """Write both halves to a folder, whole or not at all, and return the bundle with its fingerprint.

    ExportError where the folder cannot be written; an older pair there stays a pair then. BundleError where
    the halves could not be read back. The cloud's half is renamed first: a device bundle never stands there
    without the half that serves it.
    """
    data = bundle.to_bytes()
    written = Bundle.from_bytes(data)
    cloud = CloudHalf(encoder, written.fingerprint).to_bytes()
    CloudHalf.from_bytes(cloud)
    write_together({folder / CLOUD_FILE: cloud, folder / DEVICE_FILE: data})
    return written


def read_file(path: Path) -> bytes:
    """Return a bundle file's bytes; BundleError where it cannot be read, or is too large to be one."""
    try:
        if path.exists() and not path.is_file():  # a device or a pipe may never end
            raise BundleError(f"bundle {path} is not a file; `persona export` writes one")
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            size = path.stat().st_size
            raise BundleError(f"bundle {path} is {size:,} bytes; the limit is {SIZE_LIMIT_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"bundle {path} cannot be read: {error.strerror}; `persona export` writes one") from error


def _check_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, array in arrays.items():
        wanted = _DTYPES.get(name, "float32")
        if array.dtype != wanted:
            raise BundleError(f"array {name!r} of a bundle is {array.dtype}; wanted {wanted}: export it anew")
        if not array.size:
            raise BundleError(f"array {name!r} of a bundle is empty, of shape {array.shape}; export it anew")
        if name.startswith(_OPTIONAL) and not np.isfinite(array).all():  # in their padding too
            raise BundleError(f"array {name!r} of a bundle has entries that are not finite; export it anew")


def _optional_parts(sketch: SketchSpec, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Return renorm, gate, prior, tether and mixture test; None for each that has no array."""
    renorm, gate, prior, tether, mixture = (_within(arrays, prefix) for prefix in _OPTIONAL)
    channels = {tap.name: tap.channels for tap in sketch.taps if tap.order == 2}
    ordered = {name: renorm[name] for name in (*channels, *renorm) if name in renorm}  # as the taps stand, not the file
    return {
        "renorm": Renorm.from_arrays(ordered, channels) if renorm else None,
        "gate": SketchGate.from_arrays(gate) if gate else None,
        "prior": PriorNet.from_arrays(prior) if prior else None,
        "tether": Tether.from_arrays(tether) if tether else None,
        "mixture": MixtureTest.from_arrays(mixture) if mixture else None,
    }


def _check_renormalised(layer: RenormLayer, sketch: SketchSpec, weights: Mapping[str, Array]) -> None:
    """A layer must be tapped, and its scale and shift editable; the scale that it knows is the base weight."""
    try:
        Renorm((layer,)).check(sketch)
    except SpecError as error:
        raise BundleError(f"a bundle's {error}") from error
    weight, bias = (weights.get(f"{layer.name}.{part}") for part in ("weight", "bias"))
    if weight is None or bias is None or not weight.shape == bias.shape == layer.scale.shape:
        raise BundleError(
            f"a bundle renormalises {layer.name!r}, but does not edit its weight and bias of shape "
            f"{layer.scale.shape}; leave the layer out, or make it editable"
        )
    if not np.array_equal(weight, layer.scale):
        raise BundleError(f"a bundle renormalises {layer.name!r} with another scale than its weight; export it anew")


def _within(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
