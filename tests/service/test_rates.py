"""Token buckets: so many at once, so many in the long run, and no more memory than was set aside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona.errors import TooOften
from persona.service import create_app
from persona.service.limits import Limits
from persona.service.rates import Rates, is_near, peer_of
from tests.service import asgi


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def spent(rates: Rates, peer: str) -> bool:
    try:
        rates.spend(peer)
    except TooOften:
        return False
    return True


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    clock = Clock()
    rates = Rates(Limits(rate_per_s=2, burst=3), clock)
    assert [spent(rates, "a") for _ in range(4)] == [True, True, True, False]
    assert spent(rates, "b"), "another's bucket is full"
    clock.now += 0.5
    assert [spent(rates, "a") for _ in range(2)] == [True, False]
    clock.now -= 50  # a clock that goes back gives nothing, and takes nothing
    assert not spent(rates, "a")


@given(steps=st.lists(st.floats(0, 3), max_size=60))
def test_never_more_than_burst_and_rate_allow(steps: list[float]) -> None:
    clock = Clock()
    rates = Rates(Limits(rate_per_s=2, burst=3), clock)
    allowed = 0
    for step in steps:
        clock.now += step
        allowed += spent(rates, "a")
    assert allowed <= 3 + 2 * (clock.now - 100) + 1e-6


def test_so_many_peers_are_remembered_and_the_quietest_is_forgotten() -> None:
    rates = Rates(Limits(rate_per_s=1, burst=1, peers=2), Clock())
    for peer in ("a", "b", "a", "c"):
        spent(rates, peer)
    assert len(rates) == 2
    assert not spent(rates, "a"), "b was forgotten, not a"


def test_no_rate_is_no_limit_and_no_memory() -> None:
    rates = Rates(Limits(rate_per_s=0, burst=1), Clock())
    assert all(spent(rates, "a") for _ in range(9))
    assert len(rates) == 0


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("127.0.0.1", None), ("::1", None), ("::ffff:127.0.0.1", None), ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"), (None, "unknown"),
        ("somebody", "somebody"),
    ],
)  # fmt: skip
def test_whom_an_address_counts_as(host: str | None, peer: str | None) -> None:
    assert peer_of(host) == peer


@pytest.mark.parametrize(("host", "near"), [("127.0.0.1", True), ("10.1.2.3", True), ("8.8.8.8", False), (None, False)])
def test_who_is_near(host: str | None, near: bool) -> None:
    assert is_near(host) is near


def test_the_service_says_429_to_one_address_alone(sketch_folder: Path) -> None:
    def asked(client: asgi.Client, host: str) -> asgi.Answer:
        sent: list[asgi.Message] = []

        async def app(scope: dict[str, object], receive: object, send: object) -> None:
            await client.app({**scope, "client": (host, 1)}, receive, send)  # type: ignore[arg-type]

        client.run(asgi.exchange(app, "GET", "/v1/bundle", b"", (), sent))
        return asgi.as_answer(sent)

    clock = Clock()
    with asgi.Client(create_app(sketch_folder, Limits(rate_per_s=1, burst=2), clock=clock)) as client:
        assert [asked(client, "203.0.113.1").status for _ in range(3)] == [200, 200, 429]
        refusal = asked(client, "203.0.113.1")
        assert refusal.json()["type"] == "urn:persona:problem:too-often"
        assert refusal.headers["retry-after"] == "1"
        assert asked(client, "203.0.113.2").status == 200
        assert {asked(client, "127.0.0.1").status for _ in range(5)} == {200}
        clock.now += 1
        assert asked(client, "203.0.113.1").status == 200
