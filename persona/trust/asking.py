"""A request signed by the device that makes it: four headers over method, path, time, nonce and body.

docs/wire.md has the table. The service knows the public keys; the private one never leaves its device.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from persona.errors import Unauthenticated
from persona.trust.keys import PublicKey, SigningKey

# A clock may be off by this much; within it a nonce counts once.
SKEW_S = 300
ASKING_NONCE_BYTES = 16
DEVICE, TIME, NONCE, SIGNATURE = "persona-device", "persona-time", "persona-nonce", "persona-signature"
# What devices sign begins with this, so that no signature made for anything else passes for a request's.
_DOMAIN = b"persona device request 1\0"
_FORMS = {
    DEVICE: re.compile("[0-9a-f]{64}"),
    TIME: re.compile("[0-9]{1,12}", re.ASCII),
    NONCE: re.compile(f"[0-9a-f]{{{2 * ASKING_NONCE_BYTES}}}"),
    SIGNATURE: re.compile("[0-9a-f]{128}"),
}


@dataclass(frozen=True)
class Asking:
    """What the headers of one request say, and the hash of all that was signed but the time and the nonce."""

    device: str
    time_s: int
    nonce: str
    signature: bytes
    message: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str], method: str, path: str, body: bytes) -> Asking | None:
        """Read a request's headers, named in lower case; None where none of the four is there.

        Unauthenticated where one is missing or has another form.
        """
        found = {name: headers.get(name) for name in _FORMS}
        if not any(found.values()):
            return None
        for name, form in _FORMS.items():
            if not form.fullmatch(found[name] or ""):
                raise Unauthenticated(f"the header {name} is missing or has another form; docs/wire.md has the table")
        said = {name: value or "" for name, value in found.items()}
        message = _message(method, path, said[TIME], said[NONCE], body)
        return cls(said[DEVICE], int(said[TIME]), said[NONCE], bytes.fromhex(said[SIGNATURE]), message)

    def check(self, key: PublicKey, now_s: float) -> None:
        """Raise Unauthenticated where this key did not sign it, or its time is too far from now."""
        if key.id != self.device or not key.signed(self.signature, self.message):
            raise Unauthenticated("the signature is not this device's for this very request; sign each request anew")
        if abs(now_s - self.time_s) > SKEW_S:
            raise Unauthenticated(
                f"the request is of second {self.time_s}, the service's clock is at {now_s:.0f}; "
                f"{SKEW_S} s apart are taken: set the device's clock"
            )


def asking_headers(key: SigningKey, request: tuple[str, str, bytes], time_s: float, nonce: bytes) -> dict[str, str]:
    """Return the headers by which a device signs a request (method, path, body); `nonce` is fresh dice."""
    method, path, body = request
    time_text, nonce_text = str(int(time_s)), nonce.hex()
    signature = key.sign(_message(method, path, time_text, nonce_text, body))
    return {DEVICE: key.public.id, TIME: time_text, NONCE: nonce_text, SIGNATURE: signature.hex()}


def _message(method: str, path: str, time_text: str, nonce: str, body: bytes) -> bytes:
    lines = "\n".join((method, path, time_text, nonce))
    return _DOMAIN + lines.encode() + b"\n" + hashlib.sha256(body).digest()
