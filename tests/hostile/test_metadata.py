"""A server that lies about what is signed: whatever it offers, the device learns nothing but what its owner signed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from persona.errors import PersonaError, TrustError
from persona.trust import Trust, TrustedState
from persona.trust.metadata import LIMIT_BYTES, MAX_SIGNATURES, MAX_VERSION, seconds_of
from persona.trust.publish import DAY_S, signed_file
from persona.trust.update import MAX_ROTATIONS
from tests.signed import NOW_S, Owner, Shelf, body_of, changed, key, trust_at
from tests.worlds import World

OWNER = Owner()
ROLE_KEY = {"root": key("root"), "timestamp": key("freshness"), "snapshot": key("release"), "targets": key("release")}
NAMES = ("timestamp", "snapshot", "targets")
BUNDLE = World().bundle


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The metadata of a first release."""
    return Shelf.of(OWNER.publish(tmp_path_factory.mktemp("first"), BUNDLE)).files


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The metadata of two releases, one after the other."""
    folder = tmp_path_factory.mktemp("both")
    old = Shelf.of(OWNER.publish(folder, BUNDLE)).files
    other = replace(World(support=(8, 16)).bundle, fingerprint="")
    return old, Shelf.of(OWNER.publish(folder, other)).files


def refused(files: dict[str, bytes], message: str = "", trust: Trust | None = None) -> None:
    """Assert that a server is not believed, and that nothing was learned from it but a new root."""
    device = trust or trust_at()
    before = device.state
    with pytest.raises(TrustError, match=message or None):
        device.refresh(Shelf(files))
    assert device.state is before or device.state.root.signed.version > before.root.signed.version
    assert device.state.targets_data in (b"", before.targets_data)


def relinked(files: dict[str, bytes], kind: str, data: bytes) -> dict[str, bytes]:
    """Return the files with one exchanged, and those that name it signed anew without lengths and hashes.

    So what refuses the one is its own signature, version or form, and not a hash before it.
    """
    found = {**files, f"{kind}.json": data}
    plain = {"version": 1}
    if kind == "targets":
        found["snapshot.json"] = changed(files["snapshot.json"], {"meta": {"targets.json": plain}}, key("release"))
    if kind != "timestamp":
        found["timestamp.json"] = changed(files["timestamp.json"], {"meta": {"snapshot.json": plain}}, key("freshness"))
    return found


def with_body(files: dict[str, bytes], kind: str, **changes: Any) -> dict[str, bytes]:
    """Return the files with facts of one exchanged, signed by its true key."""
    return relinked(files, kind, changed(files[f"{kind}.json"], changes, ROLE_KEY[kind]))


def test_the_honest_server_is_believed(both: tuple[dict[str, bytes], dict[str, bytes]]) -> None:
    old, new = both
    device = trust_at()
    assert (device.refresh(Shelf(old)).timestamp, device.release().version) == (1, 1)
    assert (device.refresh(Shelf(new)).timestamp, device.release().version) == (2, 2)
    again = Shelf(new)
    assert device.refresh(again).snapshot == 2
    assert again.asked == ["2.root.json", "timestamp.json"], "what is known already is not fetched again"
    assert trust_at().refresh(Shelf(relinked(old, "targets", old["targets.json"]))).release is not None


@pytest.mark.parametrize("kind", NAMES)
def test_no_altered_byte_of_metadata_is_believed(first: dict[str, bytes], kind: str) -> None:
    honest = trust_at().refresh(Shelf(first))
    data = first[f"{kind}.json"]
    for index in range(len(data)):
        altered = bytearray(data)
        altered[index] ^= 0x01
        device = trust_at()
        with pytest.raises(TrustError):
            device.refresh(Shelf(relinked(first, kind, bytes(altered))))
        assert device.state.targets_data == b""
    assert honest.release is not None


@pytest.mark.parametrize("kind", NAMES)
def test_no_truncated_metadata_is_believed(first: dict[str, bytes], kind: str) -> None:
    data = first[f"{kind}.json"]
    for length in range(len(data)):
        refused(relinked(first, kind, data[:length]))


def test_no_altered_root_is_believed() -> None:
    data = OWNER.root()
    for index in range(len(data)):
        altered = bytearray(data)
        altered[index] ^= 0x01
        with pytest.raises(TrustError):
            Trust.from_root(bytes(altered))
        with pytest.raises(TrustError):
            Trust.from_root(data[:index])


@pytest.mark.parametrize("kind", NAMES)
def test_metadata_without_signatures_is_refused(first: dict[str, bytes], kind: str) -> None:
    refused(relinked(first, kind, changed(first[f"{kind}.json"], {})), "0 good signatures")


@pytest.mark.parametrize(
    ("kind", "thief"),
    [
        (kind, thief)
        for kind in NAMES
        for thief in ("root", "release", "freshness", "reply", "stranger")
        if key(thief).public != ROLE_KEY[kind].public
    ],
)
def test_a_key_counts_for_its_own_role_alone(first: dict[str, bytes], kind: str, thief: str) -> None:
    refused(relinked(first, kind, changed(first[f"{kind}.json"], {}, key(thief))), "0 good signatures")


def test_one_signature_of_two_is_not_enough(tmp_path: Path) -> None:
    owner = Owner(releases=(key("release"), key("release 2")), release_threshold=2)
    files = Shelf.of(owner.publish(tmp_path, BUNDLE)).files
    lone = changed(files["targets.json"], {}, key("release"))
    snapshot = {"meta": {"targets.json": {"version": 1}}}
    files["snapshot.json"] = changed(files["snapshot.json"], snapshot, *owner.releases)
    files["timestamp.json"] = changed(
        files["timestamp.json"], {"meta": {"snapshot.json": {"version": 1}}}, owner.freshness
    )
    assert trust_at(root=owner.root()).refresh(Shelf(files)).release is not None
    refused({**files, "targets.json": lone}, "1 good signatures .* wanted 2", trust_at(root=owner.root()))


def test_one_key_signing_twice_counts_once(first: dict[str, bytes]) -> None:
    twice = signed_file(body_of(first["targets.json"]), [key("release"), key("release")])
    refused(relinked(first, "targets", twice), "two signatures of one key")


def test_one_key_under_two_names_is_refused() -> None:
    """The same key in capitals has another id: it would make a threshold of two alone."""
    body = body_of(OWNER.root())
    own = key("root").public
    loud = {**own.to_json(), "keyval": {"public": own.value.hex().upper()}}
    body["keys"]["0" * 64] = loud
    body["roles"]["root"] = {"keyids": [own.id, "0" * 64], "threshold": 2}
    with pytest.raises(TrustError, match="lower-case"):
        Trust.from_root(signed_file(body, [key("root")]))
    body["keys"]["0" * 64] = own.to_json()
    with pytest.raises(TrustError, match="by the name"):
        Trust.from_root(signed_file(body, [key("root")]))


def test_a_role_that_names_a_key_twice_is_refused() -> None:
    body = body_of(OWNER.root())
    body["roles"]["targets"] = {"keyids": [key("release").public.id] * 2, "threshold": 2}
    with pytest.raises(TrustError, match="names a key twice"):
        Trust.from_root(signed_file(body, [key("root")]))


@pytest.mark.parametrize("threshold", [0, -1, 2, True, "1", None, 10**30])
def test_a_threshold_that_is_none_is_refused(threshold: Any) -> None:
    body = body_of(OWNER.root())
    body["roles"]["root"]["threshold"] = threshold
    with pytest.raises(TrustError, match="threshold of 'root'"):
        Trust.from_root(signed_file(body, [key("root")]))


def test_more_signatures_than_anybody_needs_are_refused(first: dict[str, bytes]) -> None:
    crowd = [key(f"nobody {i}") for i in range(MAX_SIGNATURES)]
    refused(
        relinked(first, "targets", changed(first["targets.json"], {}, key("release"), *crowd)),
        "33 signatures; the limit",
    )


@pytest.mark.parametrize("kind", NAMES)
def test_metadata_that_is_rolled_back_is_refused(both: tuple[dict[str, bytes], dict[str, bytes]], kind: str) -> None:
    old, new = both
    device = trust_at()
    device.refresh(Shelf(new))
    if kind == "timestamp":
        refused(old, "timestamp metadata has version 1, version 2 was seen before: rolled back", device)
        return
    names = ("snapshot", "targets") if kind == "targets" else ("snapshot",)
    files = {**new, **{f"{name}.json": old[f"{name}.json"] for name in names}}
    if kind == "targets":  # the owner's own snapshot of a later day names the old targets
        files["snapshot.json"] = changed(
            old["snapshot.json"], {"version": 3, "meta": {"targets.json": {"version": 1}}}, key("release")
        )
    version = 3 if kind == "targets" else 1
    meta = {"snapshot.json": {"version": version}}
    files["timestamp.json"] = changed(new["timestamp.json"], {"version": 3, "meta": meta}, key("freshness"))
    refused(files, f"{kind} metadata has version 1, version 2 was seen before: rolled back", device)


def test_rolling_back_is_noticed_after_a_restart(both: tuple[dict[str, bytes], dict[str, bytes]]) -> None:
    old, new = both
    kept = trust_at().refresh(Shelf(new)).to_bytes()
    refused(old, "rolled back", trust_at(state=TrustedState.from_bytes(kept)))


def test_a_new_state_is_kept_before_it_counts(first: dict[str, bytes]) -> None:
    kept: list[TrustedState] = []
    device = Trust(TrustedState(OWNER.root()), lambda: NOW_S, kept.append)
    device.refresh(Shelf(first))
    device.refresh(Shelf(first))
    assert kept == [device.state], "what is known already is not kept again"

    def full(_state: TrustedState) -> None:
        raise OSError("no space")

    device = Trust(TrustedState(OWNER.root()), lambda: NOW_S, full)
    with pytest.raises(OSError, match="no space"):
        device.refresh(Shelf(first))
    assert device.state.timestamp == 0, "what could not be kept is not trusted"


def test_two_releases_under_one_version_are_refused(first: dict[str, bytes]) -> None:
    device = trust_at()
    device.refresh(Shelf(first))
    other = with_body(first, "targets", expires="2031-01-01T00:00:00Z")
    other["timestamp.json"] = changed(other["timestamp.json"], {"version": 2}, key("freshness"))
    refused(other, "another than before under the same version", device)


@pytest.mark.parametrize("kind", ["snapshot", "targets"])
def test_parts_of_two_releases_are_refused(both: tuple[dict[str, bytes], dict[str, bytes]], kind: str) -> None:
    old, new = both
    refused({**new, f"{kind}.json": old[f"{kind}.json"]}, "parts of two releases are mixed")
    if kind == "targets":  # by version too, where the snapshot names no hash
        meta = {"targets.json": {"version": 2}}
        files = {
            **relinked(new, "snapshot", changed(new["snapshot.json"], {"version": 1, "meta": meta}, key("release")))
        }
        refused({**files, "targets.json": old["targets.json"]}, "has version 1, the file before it names 2")


@pytest.mark.parametrize("kind", [*NAMES, "root"])
def test_a_frozen_server_is_noticed(first: dict[str, bytes], kind: str) -> None:
    """Old metadata that was valid once is refused from the second on at which it expires; the rest is fresh."""
    late, soon = "2040-01-01T00:00:00Z", "2030-04-01T00:00:00Z"
    metas = {
        "timestamp": {"meta": {"snapshot.json": {"version": 1}}},
        "snapshot": {"meta": {"targets.json": {"version": 1}}},
        "targets": {},
    }
    files = {
        f"{name}.json": changed(
            first[f"{name}.json"], {**meta, "expires": soon if name == kind else late}, ROLE_KEY[name]
        )
        for name, meta in metas.items()
    }
    root = OWNER.root(expires_s=seconds_of(soon if kind == "root" else late))
    assert trust_at(seconds_of(soon) - 1, root).refresh(Shelf(files)).release is not None
    refused(files, f"{kind} metadata of version 1 expired", trust_at(seconds_of(soon), root))


def test_a_release_in_hand_expires_too(first: dict[str, bytes]) -> None:
    state = trust_at().refresh(Shelf(first))
    late = trust_at(NOW_S + 91 * DAY_S, state=state)
    with pytest.raises(TrustError, match="release 1 has expired"):
        late.release()
    refused(first, "expired", late)
    with pytest.raises(TrustError, match="no release is trusted yet"):
        trust_at().release()


def test_a_clock_that_is_set_back_is_not_believed(first: dict[str, bytes]) -> None:
    later = Shelf(with_body(first, "timestamp", expires="2040-01-01T00:00:00Z"))
    state = trust_at(NOW_S + 60 * DAY_S).refresh(later)
    assert state.seen_s == int(NOW_S + 60 * DAY_S)
    refused(first, "timestamp metadata of version 1 expired", trust_at(NOW_S, state=state))
    assert trust_at(NOW_S, state=state).reply_keys(BUNDLE.fingerprint) == ()


def test_a_server_that_hides_new_metadata_gains_days_and_no_more(first: dict[str, bytes]) -> None:
    state = trust_at().refresh(Shelf(first))
    fingerprint = BUNDLE.fingerprint
    assert trust_at(NOW_S + 30 * DAY_S - 1, state=state).reply_keys(fingerprint) == (key("reply").public,)
    assert trust_at(NOW_S + 30 * DAY_S, state=state).reply_keys(fingerprint) == ()


@pytest.mark.parametrize("name", ["timestamp.json", "snapshot.json", "targets.json"])
def test_a_server_without_metadata_is_not_believed(first: dict[str, bytes], name: str) -> None:
    refused({other: data for other, data in first.items() if other != name}, f"the server has no {name}")


def test_a_chain_of_roots_without_end_is_cut_off(first: dict[str, bytes]) -> None:
    shelf = Shelf({**first, **{f"{v}.root.json": OWNER.root(v) for v in range(2, 3 * MAX_ROTATIONS)}})
    device = trust_at()
    assert device.refresh(shelf).root.signed.version == 1 + MAX_ROTATIONS
    assert sum(name.endswith("root.json") for name in shelf.asked) == MAX_ROTATIONS
    assert device.refresh(shelf).root.signed.version == 1 + 2 * MAX_ROTATIONS, "the next one goes on"


def test_the_last_version_of_a_root_is_not_followed(first: dict[str, bytes]) -> None:
    shelf = Shelf(first)
    assert trust_at(root=OWNER.root(MAX_VERSION)).refresh(shelf).root.signed.version == MAX_VERSION
    assert shelf.asked[0] == "timestamp.json"


@pytest.mark.parametrize("kind", NAMES)
def test_oversized_metadata_is_refused_unread(first: dict[str, bytes], kind: str) -> None:
    refused(relinked(first, kind, b" " * LIMIT_BYTES + first[f"{kind}.json"]), "the limit is")


@pytest.mark.parametrize(
    ("signers", "message"),
    [
        (["new root"], "0 good signatures"),  # nobody before it agreed
        (["root"], "0 good signatures"),  # its own keys did not
        ([], "0 good signatures"),
        (["release", "freshness"], "0 good signatures"),
    ],
)
def test_a_root_that_old_and_new_keys_did_not_both_sign_is_refused(
    first: dict[str, bytes], signers: list[str], message: str
) -> None:
    whole = Owner(roots=(key("new root"),)).root(2, by=[key("root")])
    assert trust_at().refresh(Shelf({**first, "2.root.json": whole})).root.signed.version == 2
    refused({**first, "2.root.json": changed(whole, {}, *map(key, signers))}, message)


@pytest.mark.parametrize("version", [1, 3, MAX_VERSION])
def test_a_root_out_of_turn_is_refused(first: dict[str, bytes], version: int) -> None:
    refused({**first, "2.root.json": OWNER.root(version)}, f"has version {version}; wanted 2")


def test_a_stolen_release_key_dies_with_the_next_root(first: dict[str, bytes]) -> None:
    device = trust_at()
    device.refresh(Shelf(first))
    root = Owner(releases=(key("release 2"),)).root(2, by=[key("root")])
    refused({**first, "2.root.json": root}, "0 good signatures", device)
    stolen = changed(first["targets.json"], {"version": 9}, key("release"))
    refused({**relinked(first, "targets", stolen), "2.root.json": root}, "0 good signatures")


def test_a_new_root_counts_though_the_release_does_not(first: dict[str, bytes]) -> None:
    """The server's freshness had lapsed on the day of the rotation; the thief of the old keys comes the day after."""
    kept: list[TrustedState] = []
    device = Trust(TrustedState(OWNER.root()), lambda: NOW_S, kept.append)
    root = Owner(releases=(key("release 2"),)).root(2, by=[key("root")])
    with pytest.raises(TrustError, match="no timestamp"):
        device.refresh(Shelf({"2.root.json": root}))
    assert [state.root.signed.version for state in kept] == [2]
    refused(first, "0 good signatures", trust_at(state=TrustedState.from_bytes(kept[0].to_bytes())))


def test_a_stolen_key_that_used_up_all_versions_is_overcome(tmp_path: Path, first: dict[str, bytes]) -> None:
    thief = with_body(first, "timestamp", version=MAX_VERSION)
    device = trust_at()
    device.refresh(Shelf(thief))
    refused(first, "rolled back", device)
    owner = Owner(freshness=key("freshness 2"), releases=(key("release 2"),))
    files = Shelf.of(owner.publish(tmp_path, BUNDLE)).files
    files = {**files, "2.root.json": owner.root(2, by=[key("root")])}
    state = device.refresh(Shelf(files))
    assert (state.timestamp, state.snapshot) == (1, 1)
    refused(thief, "0 good signatures", device)


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
