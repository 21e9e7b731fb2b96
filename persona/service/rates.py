"""How often one peer may ask: a token bucket each, for as many peers as memory is set aside for."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from persona.errors import TooOften
from persona.service.limits import Limits

# Python's own `is_private` counts ranges that documentation and tests use, too.
_PRIVATE = [ipaddress.ip_network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
Clock = Callable[[], float]


class Rates:
    """Token buckets by peer; the peer that was quiet for longest is forgotten where there are too many."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        """Of the limits, `rate_per_s`, `burst` and `peers` count here. `clock` gives seconds that never go back."""
        self._limits = limits
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # peer → tokens left, and when

    def __len__(self) -> int:
        """How many peers are remembered."""
        return len(self._buckets)

    def spend(self, peer: str) -> None:
        """Take one token from a peer's bucket; TooOften where it has none."""
        rate, burst = self._limits.rate_per_s, float(self._limits.burst)
        if rate <= 0:
            return
        now = self._clock()
        tokens, then = self._buckets.pop(peer, (burst, now))
        tokens = min(burst, tokens + rate * max(now - then, 0.0))
        allowed = tokens >= 1
        self._buckets[peer] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._limits.peers:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooOften(f"requests come faster than {rate:g} a second and {self._limits.burst} at once; ask later")


def peer_of(host: str | None) -> str | None:
    """Return whom an address counts as; None for this machine itself, which is not limited.

    An IPv6 host counts as its network of 64 bits, which one subscriber has whole.
    """
    address = _address(host)
    if address is None:
        return host or "unknown"
    if address.is_loopback:
        return None
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def is_near(host: str | None) -> bool:
    """Return whether an address is this machine's or of a private network: who may read the metrics."""
    address = _address(host)
    if address is None:
        return False
    return address.is_loopback or address.is_link_local or any(address in network for network in _PRIVATE)


def _address(host: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a host's address, an IPv4 one that is written as IPv6 as what it is; None for anything else."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
