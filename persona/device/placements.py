"""Where the adapter runs: in the cloud on samples, in the cloud on a sketch, or on the device (method §6)."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from persona.answer import encoded_reply
from persona.bundle import Bundle, CloudHalf
from persona.errors import DataError
from persona.wire import REQUEST_LIMIT_BYTES, AdaptReply, AdaptRequest, same_bundle

if TYPE_CHECKING:  # it brings the network's libraries, which a device without a cloud does not carry
    from persona.device.cloud import Cloud

Placement = Literal["cloud", "split", "device"]
PLACEMENTS: tuple[Placement, ...] = ("cloud", "split", "device")


class OwnAdapter:
    """A cloud without a network: the bundle's own encoder. It gives the very reply that a service would give."""

    def __init__(self, bundle: Bundle) -> None:
        """DataError where the bundle has no encoder, or onnxruntime is absent; BundleError where it does not run."""
        if bundle.encoder is None:
            raise DataError(
                "placement 'device' needs the adapter on the device, and this bundle has none: export it with "
                "--offline, or leave the placement out to live on its prototypes"
            )
        if not _has_onnxruntime():
            raise DataError(
                "placement 'device' runs the adapter in onnxruntime, which is not installed: install it, or leave the "
                "placement out to live on the bundle's prototypes"
            )
        from persona.encoder import Encoder  # it brings onnxruntime, which is loaded when it is needed

        self._bundle = bundle
        self._encoder = Encoder(CloudHalf(bundle.encoder, bundle.fingerprint), bundle)

    def adapt(self, request: AdaptRequest, code_shape: tuple[int, int]) -> AdaptReply:
        """Return the answer; UnusableRequest or ServiceError where the encoder finds none."""
        same_bundle(request, self._bundle.fingerprint)
        code = self._encoder.codes([self._encoder.accept(AdaptRequest.decode(request.encode()))])[0]
        prototype = int(self._bundle.bank.assign(code)[0])
        return AdaptReply.decode(encoded_reply(self._bundle, code, prototype), code_shape)


@dataclass(frozen=True)
class Placed:
    """Who answers (None: nobody, so the device lives on its prototypes), and what it is sent.

    `context` is ``sketch`` or ``samples``; `travels` False where nothing leaves the device.
    """

    placement: Placement
    cloud: Cloud | None
    context: str
    travels: bool


def placed(bundle: Bundle, cloud: Cloud | None, placement: Placement | None) -> Placed:
    """Return who answers a device; DataError for a combination that there is not, saying what to do.

    docs/decisions has the table: `split` needs an adapter that reads sketches, for samples would have to go up; `cloud`
    and `split` need a cloud, and `device` needs none.
    """
    if cloud is None:
        if placement in ("cloud", "split"):
            raise DataError(f"placement {placement!r} needs a cloud to ask; give one, or choose 'device'")
        wanted = placement == "device" or (bundle.encoder is not None and _has_onnxruntime())
        own = OwnAdapter(bundle) if wanted else None
        return Placed("device", own, bundle.context, False)
    if placement == "device":
        raise DataError("placement 'device' asks nobody; leave the cloud out, or choose 'cloud' or 'split'")
    if placement == "split" and bundle.context != "sketch":
        raise DataError(
            f"placement 'split' sends no samples, but this bundle's adapter reads {bundle.context}: choose 'cloud', or "
            "train one that reads sketches"
        )
    sends_samples = placement == "cloud" or bundle.context == "samples"
    if sends_samples and bundle.samples_bytes > REQUEST_LIMIT_BYTES:
        raise DataError(
            f"placement 'cloud' would send {bundle.samples_bytes:,} bytes a request, the limit is "
            f"{REQUEST_LIMIT_BYTES:,}; choose 'split'"
        )
    chosen: Placement = "cloud" if sends_samples else "split"
    return Placed(chosen, cloud, "samples" if sends_samples else "sketch", True)


def _has_onnxruntime() -> bool:
    return importlib.util.find_spec("onnxruntime") is not None
