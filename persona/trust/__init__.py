"""Who may say what a device runs: signed releases in the manner of TUF, and replies signed for one request.

The clock and the network are arguments. What must survive on a device is a `TrustedState`.
"""

from persona.trust.asking import Asking, asking_headers
from persona.trust.exchange import (
    SIGNED_CONTENT_TYPE,
    open_reply,
    open_request,
    plain_reply,
    seal_reply,
    seal_request,
)
from persona.trust.keys import PublicKey, SigningKey
from persona.trust.metadata import Root
from persona.trust.release import Release
from persona.trust.state import TrustedState
from persona.trust.trust import Trust, Unsigned

__all__ = [
    "SIGNED_CONTENT_TYPE",
    "Asking",
    "PublicKey",
    "Release",
    "Root",
    "SigningKey",
    "Trust",
    "TrustedState",
    "Unsigned",
    "asking_headers",
    "open_reply",
    "open_request",
    "plain_reply",
    "seal_reply",
    "seal_request",
]
