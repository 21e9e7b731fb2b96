"""A reply under a byte budget: the prototype alone, or with as fine a residual as fits (method §5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from persona.bank import Bank
from persona.edit import Array
from persona.errors import MessageTooLarge, WireError
from persona.prototypes.metric import flattened
from persona.wire import REPLY_LIMIT_BYTES, AdaptReply

_ANY_BUNDLE = "0" * 12  # of a reply's size and code the fingerprint tells nothing


@dataclass(frozen=True, eq=False)
class ChosenReply:
    """What a device gets: `prototype`, `residual` (n, d) as it arrives there, or None, and how it travels.

    `residual` coded again as `code_dtype` stays itself; `size_bytes` of the whole reply; `loss` the distance, under the
    bank's metric, of the device's composed code from the code that was meant.
    """

    prototype: int
    residual: Array | None
    code_dtype: str
    size_bytes: int
    loss: float


def choose_reply(bank: Bank, code: Array, budget_bytes: int) -> ChosenReply:
    """Return the reply of the least loss for a code (n, d) within a budget; the shorter one among equals.

    Candidates are the nearest prototype alone, and its residual as int8 with one scale, float16 or float32; one that
    cannot say the residual (beyond float16's range) drops out. MessageTooLarge where the budget is less than a bare
    prototype takes; WireError where the code does not fit the bank.
    """
    nearest = int(bank.assign(code)[0])
    beyond = bank.residual(code.reshape(bank.code_shape), nearest)
    offers = [_offer(bank, code, nearest, None, "float16")]
    if budget_bytes < offers[0].size_bytes:
        raise MessageTooLarge(
            f"a reply may take {budget_bytes} bytes, a bare prototype takes {offers[0].size_bytes}; allow at least that"
        )
    for dtype in ("int8", "float16", "float32"):
        try:
            offers.append(_offer(bank, code, nearest, beyond, dtype))
        except WireError:  # this dtype cannot say this residual
            continue
    fitting = [offer for offer in offers if offer.size_bytes <= min(budget_bytes, REPLY_LIMIT_BYTES)]
    return min(fitting, key=lambda offer: (offer.loss, offer.size_bytes))


def _offer(bank: Bank, code: Array, prototype: int, residual: Array | None, dtype: str) -> ChosenReply:
    """Return a reply as it arrives, through the very bytes that travel."""
    data = AdaptReply(_ANY_BUNDLE, prototype, 0, 0, residual, dtype).encode()
    arrived = AdaptReply.decode(data, bank.code_shape).residual
    off = code.astype(np.float64).reshape(1, *bank.code_shape) - bank.compose(prototype, arrived)
    loss = float(np.linalg.norm(flattened(off, bank.metric)))
    return ChosenReply(prototype, arrived, dtype, len(data), loss)
