"""Metadata, bundles and kept states of no form that a device knows, or of parts that do not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from persona.errors import PersonaError, TrustError
from persona.trust import TrustedState
from persona.trust.metadata import MAX_VERSION
from tests.hostile.lying_server import BUNDLE, NAMES, refused, relinked, with_body
from tests.signed import Owner, Shelf, body_of, key, trust_at
from tests.worlds import World


@pytest.mark.parametrize("kind", NAMES)
def test_one_kind_of_metadata_does_not_pass_for_another(first: dict[str, bytes], kind: str) -> None:
    for other in NAMES:
        if other != kind:
            refused(relinked(first, kind, first[f"{other}.json"]), "metadata of another kind")
    refused(with_body(first, kind, spec_version="2.0.0"), "another kind; wanted")


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"{}", b"\xff\xfe", b"{" * 100_000, b"[" * 100_000 + b"]" * 100_000,
        b'{"signed":{},"signatures":{}}', b'{"signed":[],"signatures":[]}',
        b'{"signed":{"version":1.5},"signatures":[]}',
        b'{"signed":{"version":NaN},"signatures":[]}', b'{"signed":{"a":1,"a":2},"signatures":[]}',
        b'{"signed":{"version":' + b"9" * 5000 + b'},"signatures":[]}', b'{"signed":{"a":"\\ud800"},"signatures":[]}',
    ],
)  # fmt: skip
def test_what_is_no_metadata_is_refused(first: dict[str, bytes], kind: str, data: bytes) -> None:
    refused(relinked(first, kind, data))


@pytest.mark.parametrize(
    "signature",
    [None, 7, "x", {}, {"keyid": 1, "sig": "00"}, {"keyid": "a"}, {"keyid": "a", "sig": "0"},
     {"keyid": "a", "sig": "zz" * 64},
     {"keyid": "a", "sig": "00" * 63}, {"keyid": "a", "sig": "00" * 10_000}],
)  # fmt: skip
def test_signatures_that_are_none_are_refused(first: dict[str, bytes], signature: Any) -> None:
    whole = {"signed": body_of(first["targets.json"]), "signatures": [signature]}
    refused(relinked(first, "targets", json.dumps(whole).encode()), "signature")


TARGET = {"length": 1, "hashes": {"sha256": "0" * 64}}


FACTS = {"fingerprint": "0" * 64, "bank_version": 1, "reply_keys": []}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        *[(kind, {"version": v}) for kind in NAMES for v in (0, -1, True, "1", None, MAX_VERSION + 1, 10**40)],
        *[(kind, {"expires": v}) for kind in NAMES
          for v in (None, 0, "", "soon", "2030-13-01T00:00:00Z", "2030-01-01T00:00:00+01:00", "٢٠٣٠-01-01T00:00:00Z")],
        *[("timestamp", {"meta": v}) for v in (None, [], {}, {"snapshot.json": 1}, {"snapshot.json": {}},
          {"snapshot.json": {"version": 1, "length": -1}}, {"snapshot.json": {"version": 1, "hashes": {}}},
          {"snapshot.json": {"version": 1, "length": 10**30}})],
        *[("snapshot", {"meta": v}) for v in (None, 7, {}, {"targets.json": None}, {"targets.json": {"version": "1"}})],
        *[("targets", {"targets": v}) for v in (None, [], {}, {"device.persona": 1}, {"device.persona": {}},
          {"device.persona": TARGET}, {"../../etc/passwd": TARGET})],
        *[("targets", {"targets": {"device.persona": {**TARGET, "custom": {"persona": v}}}}) for v in (None, {}, [],
          {**FACTS, "fingerprint": "0" * 63}, {**FACTS, "fingerprint": "G" * 64}, {**FACTS, "bank_version": -1},
          {**FACTS, "bank_version": 65536}, {**FACTS, "reply_keys": None}, {**FACTS, "reply_keys": [1]},
          {**FACTS, "reply_keys": [{"key": 1, "expires": "2030-01-01T00:00:00Z"}]},
          {**FACTS, "reply_keys": [{"key": key("reply").public.to_json(), "expires": "never"}]},
          {**FACTS, "reply_keys": [{"key": {"keytype": "rsa"}, "expires": "2030-01-01T00:00:00Z"}]})],
    ],
)  # fmt: skip
def test_signed_metadata_that_makes_no_sense_is_refused(
    first: dict[str, bytes], kind: str, changes: dict[str, Any]
) -> None:
    refused(with_body(first, kind, **changes))


def test_more_reply_keys_than_a_device_will_try_are_refused(first: dict[str, bytes]) -> None:
    many = [{"key": key(f"reply {i}").public.to_json(), "expires": "2030-06-01T00:00:00Z"} for i in range(5)]
    targets = {"device.persona": {**TARGET, "custom": {"persona": {**FACTS, "reply_keys": many}}}}
    refused(with_body(first, "targets", targets=targets), "at most 4 reply keys")


def test_a_bundle_that_is_not_the_releases_is_refused_unparsed(first: dict[str, bytes]) -> None:
    data = BUNDLE.to_bytes()
    device = trust_at()
    device.refresh(Shelf(first))
    assert device.bundle(data).fingerprint == BUNDLE.fingerprint
    middle = bytearray(data)
    middle[len(data) // 2] ^= 1
    for wrong in (
        b"",
        data[:-1],
        data + b"\0",
        bytes(middle),
        bytes(len(data)),
        World(support=(8, 16)).bundle.to_bytes(),
    ):
        with pytest.raises(TrustError, match="is not the one of release 1"):
            device.bundle(wrong)


@pytest.mark.parametrize("lie", [{"fingerprint": "0" * 64}, {"bank_version": 9}])
def test_a_release_that_lies_about_its_own_bundle_is_refused(first: dict[str, bytes], lie: dict[str, Any]) -> None:
    target = body_of(first["targets.json"])["targets"]["device.persona"]
    facts = {**target["custom"]["persona"], **lie}
    device = trust_at()
    device.refresh(
        Shelf(with_body(first, "targets", targets={"device.persona": {**target, "custom": {"persona": facts}}}))
    )
    with pytest.raises(TrustError, match="its file is"):
        device.bundle(BUNDLE.to_bytes())


def test_no_altered_or_truncated_state_is_believed(first: dict[str, bytes]) -> None:
    state = trust_at().refresh(Shelf(first))
    data = state.to_bytes()
    assert TrustedState.from_bytes(data) == state
    for index in range(len(data)):
        altered = bytearray(data)
        altered[index] ^= 0x01
        for wrong in (bytes(altered), data[:index]):
            with pytest.raises(TrustError):
                TrustedState.from_bytes(wrong)
    with pytest.raises(TrustError):
        TrustedState.from_bytes(data + b"\0")


@pytest.mark.parametrize("parts", [{"timestamp": -1}, {"snapshot": 1 << 32}, {"seen_s": -1}, {"seen_s": 1 << 60},
                                   {"root_data": b""}, {"targets_data": b"{}"}])  # fmt: skip
def test_a_state_of_parts_that_do_not_fit_is_refused(first: dict[str, bytes], parts: dict[str, Any]) -> None:
    state = trust_at().refresh(Shelf(first))
    with pytest.raises(PersonaError):
        replace(state, **parts)


def test_a_state_under_another_root_is_refused(first: dict[str, bytes]) -> None:
    state = trust_at().refresh(Shelf(first))
    with pytest.raises(TrustError, match="0 good signatures"):
        replace(state, root_data=Owner(releases=(key("other"),)).root())
