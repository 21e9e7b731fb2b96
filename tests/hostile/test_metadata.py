"""A server that lies about what is signed: whatever it offers, the device learns nothing but what its owner signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from persona.errors import TrustError
from persona.trust import Trust, TrustedState
from persona.trust.metadata import LIMIT_BYTES, MAX_SIGNATURES, MAX_VERSION, seconds_of
from persona.trust.publish import DAY_S, signed_file
from persona.trust.update import MAX_ROTATIONS
from tests.hostile.lying_server import BUNDLE, NAMES, OWNER, ROLE_KEY, refused, relinked, with_body
from tests.signed import NOW_S, Owner, Shelf, body_of, changed, key, trust_at


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
