"""A request's bytes → a reply's bytes: decode, check, encode in a batch, assign to a prototype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from persona.answer import encoded_reply
from persona.bundle import Bundle
from persona.encoder import Accepted, Encoder
from persona.service.batching import Batcher
from persona.service.limits import Limits
from persona.wire import AdaptRequest, same_bundle

# Bytes of input that one run of the encoder gets, at most; one request always fits.
_RUN_BYTES = 64 << 20


class Adaptation:
    """Answers adapt requests for one bundle."""

    def __init__(self, bundle: Bundle, encoder: Encoder, limits: Limits) -> None:
        """`limits.batch` is lowered where that many of the largest requests would be too much for one run."""
        self._bundle = bundle
        self._encoder = encoder
        batch = max(1, min(limits.batch, _RUN_BYTES // encoder.largest_bytes))
        self.batcher: Batcher[Accepted, bytes] = Batcher(self._answers, replace(limits, batch=batch))

    async def answer(self, body: bytes) -> bytes:
        """Return the encoded AdaptReply to an encoded AdaptRequest.

        Raises WireError, FingerprintMismatch or UnusableRequest where the request is at fault, ServiceError
        where the encoder fails on it, Overloaded where it cannot be answered now.
        """
        request = AdaptRequest.decode(body)
        same_bundle(request, self._bundle.fingerprint)
        return await self.batcher.submit(self._encoder.accept(request))

    def _answers(self, accepted: Sequence[Accepted]) -> list[bytes]:
        codes = self._encoder.codes(accepted)
        prototypes = self._bundle.bank.assign(codes)
        return [encoded_reply(self._bundle, code, int(k)) for code, k in zip(codes, prototypes, strict=True)]
