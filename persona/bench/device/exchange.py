"""A request that was signed for, and replies to it as a service with a key gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from persona.bundle import Bundle
from persona.device.guard import check_reply
from persona.trust import SigningKey, open_reply, seal_reply, seal_request
from persona.trust.exchange import NONCE_BYTES
from persona.wire import AdaptReply, AdaptRequest


@dataclass(frozen=True)
class Exchange:
    """The bundle that it is about, the request as it went out, the key that signs."""

    bundle: Bundle
    request: bytes
    key: SigningKey

    @classmethod
    def of(cls, bundle: Bundle) -> Exchange:
        """Begin one with a request of zeros, as large as requests become, and a key of its own."""
        return cls(bundle, seal_request(request_of(bundle), bytes(NONCE_BYTES)), SigningKey.generate())

    def seal(self, reply: AdaptReply) -> bytes:
        """Return a reply as it travels, signed."""
        return seal_reply(reply.encode(), self.request, self.bundle.fingerprint, self.key)

    def open(self, data: bytes) -> AdaptReply:
        """Verify and read a reply, and check whom it is for, as a device does."""
        shape = self.bundle.decoder.code_shape
        reply = open_reply(data, self.request, self.bundle.fingerprint, (self.key.public,), shape)
        check_reply(reply, self.bundle)
        return reply


def request_of(bundle: Bundle) -> AdaptRequest:
    """Return a request of zeros: a sketch in float16, or as many samples as are remembered."""
    samples = (bundle.support[1], *bundle.input_shape)
    values = np.zeros(bundle.sketch.n_features, np.float16) if bundle.context == "sketch" else np.zeros(samples, "f4")
    return AdaptRequest(bundle.fingerprint, bundle.context, values, bundle.support[1])
