"""Requests that a device signs: golden headers, and what is signed, put together by hand from docs/wire.md."""

from __future__ import annotations

import hashlib

import pytest

from persona.errors import Unauthenticated
from persona.trust import Asking, SigningKey, asking_headers

KEY = SigningKey.from_seed(bytes(range(32)))
REQUEST = ("POST", "/v1/adapt", b"body")
NOW_S = 1_900_000_000.9
GOLDEN = {
    "persona-device": "63d00ee3cf4f5c61ad94efa696c68f13b608fe56ecea13fb144a6fd18e9235b9",
    "persona-time": "1900000000",
    "persona-nonce": "000102030405060708090a0b0c0d0e0f",
    "persona-signature": "5b0e80d7f279797eb33bc021cb140ca47fc1a570bd31ea2a80def8e63ccdbabe"
    "0dec30dd66556c42cfcda9c55f62f82ff6c5e61bce9a9bcb5fca20588dd53704",
}


def test_the_golden_headers_are_written_and_read() -> None:
    assert asking_headers(KEY, REQUEST, NOW_S, bytes(range(16))) == GOLDEN
    asking = Asking.of(GOLDEN, *REQUEST)
    assert asking is not None
    asking.check(KEY.public, NOW_S)
    assert (asking.device, asking.time_s, asking.nonce) == (KEY.public.id, 1_900_000_000, bytes(range(16)).hex())


def test_what_is_signed_is_what_the_page_says() -> None:
    lines = b"POST\n/v1/adapt\n1900000000\n" + GOLDEN["persona-nonce"].encode() + b"\n"
    message = b"persona device request 1\0" + lines + hashlib.sha256(b"body").digest()
    assert KEY.public.signed(bytes.fromhex(GOLDEN["persona-signature"]), message)


@pytest.mark.parametrize("changed", [("GET", *REQUEST[1:]), ("POST", "/v1/devices", b"body"), (*REQUEST[:2], b"bodY")])
def test_a_signature_fits_one_request_alone(changed: tuple[str, str, bytes]) -> None:
    asking = Asking.of(GOLDEN, *changed)
    assert asking is not None
    with pytest.raises(Unauthenticated, match="this very request"):
        asking.check(KEY.public, NOW_S)


@pytest.mark.parametrize("off_s", [-301, 302])
def test_a_clock_too_far_off_is_said(off_s: float) -> None:
    asking = Asking.of(GOLDEN, *REQUEST)
    assert asking is not None
    with pytest.raises(Unauthenticated, match="set the device's clock"):
        asking.check(KEY.public, NOW_S + off_s)


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("wrong", ["", "x", "F" * 64, "-1", "0" * 200, "٣"])
def test_headers_of_another_form_are_refused(name: str, wrong: str) -> None:
    with pytest.raises(Unauthenticated, match=name):
        Asking.of({**GOLDEN, name: wrong}, *REQUEST)
