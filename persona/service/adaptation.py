"""A request's bytes → a reply's bytes: decode, find its bundle, encode in a batch, assign to a prototype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from persona.answer import encoded_reply
from persona.bundle import Bundle
from persona.edit import Array
from persona.encoder import Accepted, Encoder, Samples
from persona.errors import BundleError, UnusableRequest
from persona.service.batching import Batcher
from persona.service.limits import Limits
from persona.service.metrics import Live, Metrics
from persona.trust import SigningKey, open_request, seal_reply
from persona.wire import AdaptRequest, same_bundle

# Bytes of input that one run of the encoder gets, at most; one request always fits.
_RUN_BYTES = 64 << 20


class Served(NamedTuple):
    """One bundle that is served."""

    bundle: Bundle
    encoder: Encoder
    live: Live


class _Asked(NamedTuple):
    served: Served
    accepted: Accepted


class Adaptation:
    """Answers adapt requests for several bundles, each request by the bundle that it names."""

    def __init__(
        self,
        bundles: Sequence[tuple[Bundle, Encoder]],
        limits: Limits,
        key: SigningKey | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """The first bundle is the newest. `key` signs the replies to requests of version 2.

        BundleError where two cannot be told apart by what a request carries.
        """
        self._key = key
        self._metrics = metrics or Metrics()
        served = [Served(bundle, encoder, self._metrics.live(bundle)) for bundle, encoder in bundles]
        self._newest = served[0]
        self._served = {one.bundle.fingerprint[:12]: one for one in served}
        if len(self._served) != len(served):
            raise BundleError("a bundle is named twice; name the folder of each once")
        self.batcher: Batcher[_Asked, bytes] = Batcher(self._answers, limits, self._metrics.run)

    async def answer(self, body: bytes) -> bytes:
        """Return the encoded AdaptReply to an encoded AdaptRequest.

        Raises WireError, FingerprintMismatch or UnusableRequest where the request is at fault, ServiceError
        where the encoder fails on it, Overloaded where it cannot be answered now.
        """
        reply, _ = await self._answer(AdaptRequest.decode(body))
        return reply

    async def signed_answer(self, body: bytes) -> bytes:
        """Return the signed reply to a request of version 2; raises as `answer`, UnusableRequest without a key."""
        if self._key is None:
            raise UnusableRequest("a request wants a signed reply, and this service has no key to sign with")
        reply, bundle = await self._answer(open_request(body))
        return seal_reply(reply, body, bundle.fingerprint, self._key)

    async def _answer(self, request: AdaptRequest) -> tuple[bytes, Bundle]:
        served = self._served.get(request.fingerprint[:12], self._newest)
        same_bundle(request, served.bundle.fingerprint)
        return await self.batcher.submit(_Asked(served, served.encoder.accept(request))), served.bundle

    def _answers(self, asked: Sequence[_Asked]) -> list[bytes]:
        """Answer a run, bundle by bundle; what was answered is told of when all of it was."""
        replies: dict[int, bytes] = {}
        told: list[tuple[Live, list[int], list[Array]]] = []
        for short in dict.fromkeys(one.served.bundle.fingerprint[:12] for one in asked):
            served = self._served[short]
            places = [i for i, one in enumerate(asked) if one.served is served]
            step = max(1, _RUN_BYTES // served.encoder.largest_bytes)
            for start in range(0, len(places), step):
                part = places[start : start + step]
                accepted = [asked[i].accepted for i in part]
                codes = served.encoder.codes(accepted)
                prototypes = [int(k) for k in served.bundle.bank.assign(codes)]
                for i, code, k in zip(part, codes, prototypes, strict=True):
                    replies[i] = encoded_reply(served.bundle, code, k)
                told.append((served.live, prototypes, _sketches(served.bundle, accepted)))
        for live, prototypes, sketches in told:
            live.answered(prototypes, sketches)
        return [replies[i] for i in range(len(asked))]


def _sketches(bundle: Bundle, accepted: Sequence[Accepted]) -> list[Array]:
    return [one for one in accepted if not isinstance(one, Samples)] if bundle.context == "sketch" else []
