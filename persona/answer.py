"""A code → the reply that says it: the same bytes whether a service answers or the device itself."""

from __future__ import annotations

from persona.bundle import Bundle
from persona.edit import Array
from persona.errors import UnusableRequest, WireError
from persona.wire import AdaptReply

# A device asks again after this long, even if nothing seems to have changed.
EXPIRES_S = 600


def encoded_reply(bundle: Bundle, code: Array, prototype: int) -> bytes:
    """Return the encoded reply for a code (n, d) and its prototype; UnusableRequest where the code cannot travel."""
    residual = bundle.bank.residual(code, prototype)
    try:
        return AdaptReply(bundle.fingerprint, prototype, bundle.bank.version, EXPIRES_S, residual).encode()
    except WireError as error:
        raise UnusableRequest(f"a request has a code that cannot travel: {error}") from error
