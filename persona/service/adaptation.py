"""A request's bytes → a reply's bytes: decode, check, encode in a batch, assign to a prototype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from persona.answer import encoded_reply
from persona.bundle import Bundle
from persona.encoder import Accepted, Encoder
from persona.errors import UnusableRequest
from persona.service.batching import Batcher
from persona.service.limits import Limits
from persona.trust import SigningKey, open_request, seal_reply
from persona.wire import AdaptRequest, same_bundle

# Bytes of input that one run of the encoder gets, at most; one request always fits.
_RUN_BYTES = 64 << 20


class Adaptation:
    """Answers adapt requests for one bundle."""

    def __init__(self, bundle: Bundle, encoder: Encoder, limits: Limits, key: SigningKey | None = None) -> None:
        """`limits.batch` is lowered where that many of the largest requests would be too much for one run.

        `key` signs the replies to requests of version 2.
        """
        self._bundle = bundle
        self._key = key
        self._encoder = encoder
        batch = max(1, min(limits.batch, _RUN_BYTES // encoder.largest_bytes))
        self.batcher: Batcher[Accepted, bytes] = Batcher(self._answers, replace(limits, batch=batch))

    async def answer(self, body: bytes) -> bytes:
        """Return the encoded AdaptReply to an encoded AdaptRequest.

        Raises WireError, FingerprintMismatch or UnusableRequest where the request is at fault, ServiceError
        where the encoder fails on it, Overloaded where it cannot be answered now.
        """
        return await self._answer(AdaptRequest.decode(body))

    async def signed_answer(self, body: bytes) -> bytes:
        """Return the signed reply to a request of version 2; raises as `answer`, UnusableRequest without a key."""
        if self._key is None:
            raise UnusableRequest("a request wants a signed reply, and this service has no key to sign with")
        reply = await self._answer(open_request(body))
        return seal_reply(reply, body, self._bundle.fingerprint, self._key)

    async def _answer(self, request: AdaptRequest) -> bytes:
        same_bundle(request, self._bundle.fingerprint)
        return await self.batcher.submit(self._encoder.accept(request))

    def _answers(self, accepted: Sequence[Accepted]) -> list[bytes]:
        codes = self._encoder.codes(accepted)
        prototypes = self._bundle.bank.assign(codes)
        return [encoded_reply(self._bundle, code, int(k)) for code, k in zip(codes, prototypes, strict=True)]
