"""What is said under a byte budget: a prototype, alone or with a residual (method §5), or a whole edit by a codec."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from persona.bank import Bank
from persona.bundle import Bundle
from persona.codecs import CODECS, decode_edit, encode_edit, relative_error
from persona.edit import Array, Edit
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
    return _least_loss(offers, min(budget_bytes, REPLY_LIMIT_BYTES))


@dataclass(frozen=True, eq=False)
class ChosenEdit:
    """A whole edit on the wire: its `codec`, its bytes, and the edit that arrives.

    `loss` is the distance of that from the edit that was meant, as a share of its size; `accuracy` what a labelled
    evaluation says of the edit that arrives, None where none was given.
    """

    codec: str
    data: bytes
    arrived: Edit
    loss: float
    accuracy: float | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes on the wire."""
        return len(self.data)


def edit_offers(
    edit: Edit,
    bundle: Bundle,
    code: Array | None = None,
    evaluate: Callable[[Edit], float] | None = None,
) -> list[ChosenEdit]:
    """Return an edit by every codec that can say it, each with its measured loss.

    `code` (n, d) is the one that the bundle's decoder made the edit from, where that is so: a kernel's tensors then
    travel as their factors too. `evaluate` gives the accuracy of an edit. EditError where the edit does not fit.
    """
    factors = None if code is None else bundle.decoder.factors(code)
    offers: list[ChosenEdit] = []
    for codec in CODECS:
        try:
            data = encode_edit(edit, bundle.spec, bundle.fingerprint, codec, factors)
        except WireError:  # this codec cannot say this edit
            continue
        arrived = decode_edit(data, bundle.spec, bundle.fingerprint)
        accuracy = None if evaluate is None else evaluate(arrived)
        offers.append(ChosenEdit(codec, data, arrived, relative_error(edit, arrived), accuracy))
    return offers


def choose_edit(offers: Iterable[ChosenEdit], budget_bytes: int) -> ChosenEdit:
    """Return the offer of the least loss within a budget, the shorter one among equals.

    MessageTooLarge where none fits.
    """
    known = list(offers)
    smallest = min((offer.size_bytes for offer in known), default=0)
    if not known or budget_bytes < smallest:
        raise MessageTooLarge(f"an edit may take {budget_bytes} bytes, its shortest form takes {smallest}; send a code")
    return _least_loss(known, budget_bytes)


class _Offer(Protocol):
    @property
    def loss(self) -> float: ...
    @property
    def size_bytes(self) -> int: ...


_Any = TypeVar("_Any", bound=_Offer)


def _least_loss(offers: Iterable[_Any], budget_bytes: int) -> _Any:
    fitting = [offer for offer in offers if offer.size_bytes <= budget_bytes]
    return min(fitting, key=lambda offer: (offer.loss, offer.size_bytes))


def _offer(bank: Bank, code: Array, prototype: int, residual: Array | None, dtype: str) -> ChosenReply:
    """Return a reply as it arrives, through the very bytes that travel."""
    data = AdaptReply(_ANY_BUNDLE, prototype, 0, 0, residual, dtype).encode()
    arrived = AdaptReply.decode(data, bank.code_shape).residual
    off = code.astype(np.float64).reshape(1, *bank.code_shape) - bank.compose(prototype, arrived)
    loss = float(np.linalg.norm(flattened(off, bank.metric)))
    return ChosenReply(prototype, arrived, dtype, len(data), loss)
