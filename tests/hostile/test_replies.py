"""Somebody between device and service: no reply counts but the one that was signed for this very request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from persona.device import HttpCloud, Trust, Unsigned, fetch_bundle
from persona.errors import CloudError, FingerprintMismatch, PersonaError, TrustError, WireError
from persona.trust import open_reply, open_request, seal_reply, seal_request
from persona.trust.exchange import SIGNED_CONTENT_TYPE
from persona.trust.publish import DAY_S, TRUST_FOLDER
from persona.wire import CONTENT_TYPE, AdaptReply, AdaptRequest
from tests.device.servers import Asked, Told, http_service, raw_service
from tests.device.test_cloud import SHORT_S, drips, response
from tests.signed import NOW_S, Owner, Shelf, key, trust_at
from tests.worlds import World

WORLD = World()
SHAPE = (1, 2)
PRINT = WORLD.bundle.fingerprint
REQUEST = AdaptRequest(PRINT, "sketch", np.ones(10, np.float32), 32)
OTHER = AdaptRequest(PRINT, "sketch", np.full(10, 2, np.float32), 32)
ASKED = seal_request(REQUEST, b"nonce  1")
REPLY = WORLD.answer(REQUEST).encode()
KEYS = [key("reply").public]
Answer = Callable[[bytes], Told]


def sealed(reply: bytes = REPLY, asked: bytes = ASKED, fingerprint: str = PRINT, by: str = "reply") -> bytes:
    return seal_reply(reply, asked, fingerprint, key(by))


def refused(data: bytes, asked: bytes = ASKED) -> None:
    with pytest.raises(TrustError, match="is not used"):
        open_reply(data, asked, PRINT, KEYS, SHAPE)


def test_the_honest_reply_counts() -> None:
    assert open_reply(sealed(), ASKED, PRINT, KEYS, SHAPE).encode() == REPLY


def test_no_altered_byte_of_a_signed_reply_counts() -> None:
    data = sealed()
    for index in range(len(data)):
        for mask in (0x01, 0x80):
            altered = bytearray(data)
            altered[index] ^= mask
            with pytest.raises((TrustError, WireError)):
                open_reply(bytes(altered), ASKED, PRINT, KEYS, SHAPE)


def test_no_truncated_or_longer_signed_reply_counts() -> None:
    data = sealed()
    for wrong in (
        *(data[:length] for length in range(len(data))),
        data + b"\0",
        data[:16] + data,
        data[64:] + data[:64],
    ):
        with pytest.raises((TrustError, WireError)):
            open_reply(wrong, ASKED, PRINT, KEYS, SHAPE)


def test_a_reply_of_yesterday_does_not_count() -> None:
    """The very same request, but for its nonce."""
    refused(sealed(asked=seal_request(REQUEST, b"nonce  0")))


def test_a_reply_to_another_device_does_not_count() -> None:
    refused(sealed(asked=seal_request(OTHER, b"nonce  1")))


def test_a_reply_to_a_request_that_was_altered_on_the_way_does_not_count() -> None:
    altered = bytearray(ASKED)
    altered[-12] ^= 0x40  # a feature; the nonce stays
    refused(sealed(asked=bytes(altered)))


def test_a_reply_for_another_bundle_does_not_count() -> None:
    refused(sealed(fingerprint="0" * 64))
    refused(sealed(fingerprint=PRINT[:12] + "0" * 52))  # its first six bytes are the same


@pytest.mark.parametrize("by", ["root", "release", "freshness", "stranger"])
def test_a_reply_by_any_other_key_does_not_count(by: str) -> None:
    refused(sealed(by=by))


def test_no_key_no_reply() -> None:
    with pytest.raises(TrustError, match="none of the 0 keys"):
        open_reply(sealed(), ASKED, PRINT, [], SHAPE)


def test_a_signature_of_something_else_does_not_count() -> None:
    """What a reply key signed without the words that begin a reply: nobody signs those by accident."""
    body = sealed()[:-64]
    refused(body + key("reply").sign(body))
    refused(body + key("reply").sign(PRINT.encode() + body))


def test_a_signed_lie_is_still_checked() -> None:
    """A service that holds the key may be wrong: what it signed is read as strictly as ever."""
    for lie in (b"PR\1\7" + REPLY[4:], REPLY[:-1], REPLY + b"\0", b"PQ" + REPLY[2:]):
        with pytest.raises(WireError):
            open_reply(sealed(lie), ASKED, PRINT, KEYS, SHAPE)
    with pytest.raises(FingerprintMismatch):
        open_reply(sealed(REPLY[:4] + bytes(6) + REPLY[10:]), ASKED, PRINT, KEYS, SHAPE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published")
    Owner().publish(path, WORLD.bundle)
    return path


def honest(asked: bytes) -> Told:
    reply = WORLD.answer(open_request(asked))
    return Told(200, sealed(reply.encode(), asked), {"Content-Type": SIGNED_CONTENT_TYPE})


def server(folder: Path, answer: Answer = honest, files: dict[str, bytes] | None = None) -> Callable[[Asked], Told]:
    """Return a server of a published folder; `answer` is what becomes of adapt requests, `files` replace metadata."""
    shelf = {**Shelf.of(folder / TRUST_FOLDER).files, **(files or {})}

    def answered(asked: Asked) -> Told:
        if asked.path == "/v1/adapt":
            return answer(asked.body)
        if asked.path.startswith("/v1/trust/"):
            name = asked.path.rpartition("/")[2]
            return Told(200, shelf[name]) if name in shelf else Told(404)
        return Told(200, (folder / "device.persona").read_bytes())

    return answered


def adapt(folder: Path, answer: Answer, trust: Trust | None = None) -> AdaptReply:
    with http_service(server(folder, answer)) as url, HttpCloud(url, 10.0, trust=trust or trust_at()) as cloud:
        return cloud.adapt(REQUEST, SHAPE)


def test_a_device_fetches_a_signed_bundle_and_gets_signed_replies(folder: Path) -> None:
    trust = trust_at()
    with http_service(server(folder)) as url:
        bundle = fetch_bundle(url, trust=trust)
        assert bundle is not None
        assert bundle.fingerprint == PRINT
        assert fetch_bundle(url, PRINT, trust=trust) is None
        with HttpCloud(url, 10.0, trust=trust) as cloud:
            assert cloud.adapt(REQUEST, SHAPE).encode() == REPLY
    assert adapt(folder, honest).encode() == REPLY, "a device that has its bundle from disk fetches the keys alone"


def test_every_request_has_fresh_dice(folder: Path) -> None:
    seen: list[bytes] = []

    def noted(asked: bytes) -> Told:
        seen.append(asked[-8:])
        return honest(asked)

    with http_service(server(folder, noted)) as url, HttpCloud(url, 10.0, trust=trust_at()) as cloud:
        for _ in range(3):
            cloud.adapt(REQUEST, SHAPE)
    assert len(set(seen)) == 3


def test_an_unsigned_reply_is_refused_over_the_network(folder: Path) -> None:
    for told in (
        Told(200, REPLY, {"Content-Type": CONTENT_TYPE}),
        Told(200, REPLY, {"Content-Type": SIGNED_CONTENT_TYPE}),
        Told(200, REPLY + bytes(64), {"Content-Type": SIGNED_CONTENT_TYPE}),
    ):
        with pytest.raises((CloudError, WireError)):
            adapt(folder, lambda _, told=told: told)


def test_a_replayed_reply_is_refused_over_the_network(folder: Path) -> None:
    first: list[Told] = []

    def replayed(asked: bytes) -> Told:
        first.append(honest(asked))
        return first[0]

    with http_service(server(folder, replayed)) as url, HttpCloud(url, 10.0, trust=trust_at()) as cloud:
        cloud.adapt(REQUEST, SHAPE)
        with pytest.raises(TrustError, match="replayed"):
            cloud.adapt(REQUEST, SHAPE)


def test_a_reply_key_that_expired_is_refused_and_a_new_one_is_found(tmp_path: Path) -> None:
    clock = [NOW_S]
    owner = Owner()
    owner.publish(tmp_path, WORLD.bundle)
    trust = Trust(trust_at().state, lambda: clock[0])
    with http_service(server(tmp_path)) as url, HttpCloud(url, 10.0, trust=trust) as cloud:
        cloud.adapt(REQUEST, SHAPE)
        clock[0] += 31 * DAY_S
        with pytest.raises(TrustError, match="expired"):  # and so has the server's word that nothing is newer
            cloud.adapt(REQUEST, SHAPE)
    owner.publish(tmp_path, now_s=clock[0])
    with http_service(server(tmp_path)) as url, HttpCloud(url, 10.0, trust=trust) as cloud:
        assert cloud.adapt(REQUEST, SHAPE).encode() == REPLY
    assert trust.release().version == 2


def test_keys_are_fetched_anew_after_a_reply_that_none_of_them_signed(tmp_path: Path) -> None:
    Owner(reply=key("old reply")).publish(tmp_path, WORLD.bundle)
    trust = trust_at()
    trust.refresh(Shelf.of(tmp_path / TRUST_FOLDER))
    Owner().publish(tmp_path)
    with http_service(server(tmp_path)) as url, HttpCloud(url, 10.0, trust=trust) as cloud:
        with pytest.raises(TrustError):
            cloud.adapt(REQUEST, SHAPE)
        assert cloud.adapt(REQUEST, SHAPE).encode() == REPLY


def test_a_device_with_another_bundle_than_the_release_is_told_to_fetch_it(folder: Path) -> None:
    stale = AdaptRequest("0" * 64, "sketch", np.ones(10, np.float32), 32)
    with (
        http_service(server(folder)) as url,
        HttpCloud(url, 10.0, trust=trust_at()) as cloud,
        pytest.raises(FingerprintMismatch, match="fetch the bundle"),
    ):
        cloud.adapt(stale, SHAPE)


def test_a_bundle_of_a_liar_is_refused_over_the_network(folder: Path) -> None:
    data = (folder / "device.persona").read_bytes()
    for wrong in (data[:-1], data[:-1] + b"\1", b"", World(support=(8, 16)).bundle.to_bytes()):
        shelf = server(folder)

        def lying(asked: Asked, wrong: bytes = wrong, shelf: Callable[[Asked], Told] = shelf) -> Told:
            return Told(200, wrong) if asked.path.startswith("/v1/bundles/") else shelf(asked)

        with http_service(lying) as url, pytest.raises(PersonaError) as caught:
            fetch_bundle(url, trust=trust_at())
        assert isinstance(caught.value, TrustError | CloudError)


def test_a_bundle_is_cut_off_one_byte_past_its_signed_length(folder: Path) -> None:
    length = (folder / "device.persona").stat().st_size
    shelf = server(folder)

    def endless(asked: Asked) -> Told:
        return Told(200, bytes(length + 1)) if asked.path.startswith("/v1/bundles/") else shelf(asked)

    with http_service(endless) as url, pytest.raises(CloudError, match=f"more than {length:,} bytes"):
        fetch_bundle(url, trust=trust_at())


@pytest.mark.parametrize("size", [1 << 18, 1 << 22])
def test_metadata_without_end_is_cut_off(folder: Path, size: int) -> None:
    for name in ("2.root.json", "timestamp.json", "snapshot.json", "targets.json"):
        told = server(folder, files={name: b"{" * size})
        with http_service(told) as url, pytest.raises(CloudError, match="more than 131,072 bytes"):
            fetch_bundle(url, trust=trust_at())


def test_metadata_that_drips_is_not_waited_for() -> None:
    with raw_service(drips(response(b"", 60_000), b"{")) as url, pytest.raises(CloudError, match=r"within 0\.3 s"):
        fetch_bundle(url, timeout_s=SHORT_S, trust=trust_at())


@pytest.mark.parametrize("status", [301, 403, 500, 503])
def test_a_server_that_fails_is_no_server_without_a_new_root(folder: Path, status: int) -> None:
    """An error where a new root may be is not taken for there being none: the chain may be hidden."""
    shelf = server(folder)

    def failing(asked: Asked) -> Told:
        return Told(status) if asked.path.endswith("2.root.json") else shelf(asked)

    with http_service(failing) as url, pytest.raises(CloudError, match=f"answered {status}"):
        fetch_bundle(url, trust=trust_at())


def test_the_switch_that_turns_signatures_off_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TypeError, match="trust"):
        HttpCloud("http://127.0.0.1:9")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="trust"):
        fetch_bundle("http://127.0.0.1:9")  # type: ignore[call-arg]
    Unsigned()
    Unsigned()
    assert caplog.text.count("signatures are off") == 2
