"""Write the golden exchanges of wire version 2: ``python -m tests.vectors.make_signed_vectors``.

Run once, and committed with its output, as `make_wire_vectors` says. The envelope is put together here by hand, from
the tables in docs/wire.md, around golden messages of version 1; Ed25519 signatures have no dice: they are golden too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from persona.files import write_whole

FOLDER = Path(__file__).parent
FINGERPRINT = "00017f80feff" + "5a" * 26
SEED = "golden"  # padded with full stops to 32 bytes, this is the private key
# Request and reply of version 1, nonce, code shape, and what the reply says.
EXCHANGES = [
    ("request-sketch-float16", "reply-prototype", "0011223344556677", [1, 1], [3, 1, 600]),
    ("request-samples-uint8", "reply-float16", "ffffffffffffffff", [2, 2], [65535, 65535, 65535]),
    ("request-sketch-float32", "reply-int8", "0000000000000000", [2, 2], [258, 772, 1286]),
]


def main() -> None:
    """Write ``wire-2.json``."""
    key = Ed25519PrivateKey.from_private_bytes(SEED.encode().ljust(32, b"."))
    messages = []
    for request_name, reply_name, nonce, shape, numbers in EXCHANGES:
        asked, said = ((FOLDER / f"wire-1-{name}.bin").read_bytes() for name in (request_name, reply_name))
        request = asked[:2] + b"\2" + asked[3:] + bytes.fromhex(nonce)
        body = said[:2] + b"\2" + said[3:]
        signed = b"persona signed reply 2\0" + FINGERPRINT.encode() + hashlib.sha256(request).digest() + body
        reply = body + key.sign(signed)
        messages.append(
            {
                "name": reply_name, "nonce": nonce, "code_shape": shape, "numbers": numbers,
                "request_bytes": len(request), "reply_bytes": len(reply),
                "request": request.hex(), "reply": reply.hex(),
            }
        )  # fmt: skip
    public = key.public_key().public_bytes_raw().hex()
    head = {"version": 2, "fingerprint": FINGERPRINT, "seed": SEED, "public_key": public}
    write_whole(FOLDER / "wire-2.json", (json.dumps({**head, "messages": messages}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
