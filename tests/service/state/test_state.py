"""What a database keeps: devices, tokens once, assignments once, sums that add up; the same on both kinds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, func, select, text

from persona.errors import EnrolmentRefused, Overloaded, ServiceError, Unauthenticated
from persona.service.state import Assignment, Database, Devices, Recording
from persona.service.state.tables import ASSIGNMENTS, AUDIT, STATISTICS, TOKENS
from persona.trust import PublicKey
from tests.service.state.conftest import NOW_S, Clock
from tests.signed import key

PHONE = key("phone").public


def enrolled(devices: Devices, public: PublicKey = PHONE) -> str:
    devices.enrol(devices.new_token("a", 60, "me"), public)
    return public.id


def assignment(device: str, nonce: str, prototype: int = 1, code: float = 1.0) -> Assignment:
    return Assignment(device, nonce, "f" * 64, 7, prototype, np.full((2, 2), code, np.float32))


def trail(database: Database) -> list[tuple[str, str]]:
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(select(AUDIT.c.who, AUDIT.c.what).order_by(AUDIT.c.number))]


def test_a_token_enrols_one_device_and_no_second(database: Database) -> None:
    devices = Devices(database)
    token = devices.new_token("phones", 60, "me")
    device = devices.enrol(token, PHONE)
    assert (device.public, device.group, device.enrolled_s, device.revoked_s) == (PHONE, "phones", NOW_S, None)
    assert devices.enrol(token, PHONE) == device, "a retry changes nothing"
    for wrong in (token, "", token + "x"):
        with pytest.raises(EnrolmentRefused, match="unknown, used or expired"):
            devices.enrol(wrong, key("another").public)
    assert devices.find([PHONE.id, "0" * 64]) == {PHONE.id: device}
    assert trail(database) == [("me", "token made"), (PHONE.id, "enrolled")]
    with database.reading() as connection:
        assert token not in str(connection.execute(select(TOKENS)).all())


def test_an_expired_token_enrols_nobody(database: Database, clock: Clock) -> None:
    devices = Devices(database)
    token = devices.new_token("phones", 60, "me")
    clock.now_s += 61
    with pytest.raises(EnrolmentRefused):
        devices.enrol(token, PHONE)
    assert devices.listed(10) == []


def test_a_revoked_key_stays_revoked(database: Database) -> None:
    devices = Devices(database)
    id_ = enrolled(devices)
    devices.revoke(id_, "me")
    devices.revoke(id_, "me")
    assert devices.find([id_])[id_].revoked_s == NOW_S
    with pytest.raises(EnrolmentRefused, match="revoked"):
        enrolled(devices)
    assert [what for _, what in trail(database)].count("revoked") == 1
    with pytest.raises(ServiceError, match="no device"):
        devices.revoke("0" * 64, "me")


def test_a_token_in_two_hands_enrols_one(database: Database) -> None:
    devices = Devices(database)
    token = devices.new_token("phones", 60, "me")

    def attempt(name: str) -> bool:
        try:
            devices.enrol(token, key(name).public)
        except EnrolmentRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(attempt, "abcd")) == 1
    assert len(devices.listed(10)) == 1


def test_an_assignment_counts_once(database: Database) -> None:
    recording, id_ = Recording(database), enrolled(Devices(database))
    first, second = assignment(id_, "1", code=1.0), assignment(id_, "2", code=2.0)
    assert recording.commit([first, second]) == [None, None]
    outcomes = recording.commit([second, assignment(id_, "3", 0, 3.0), assignment(id_, "3", 1, 4.0)])
    assert [type(one) for one in outcomes] == [Unauthenticated, type(None), Unauthenticated]
    with database.reading() as connection:
        kept = connection.execute(select(ASSIGNMENTS.c.nonce, ASSIGNMENTS.c.prototype).order_by(ASSIGNMENTS.c.nonce))
        assert kept.all() == [("1", 1), ("2", 1), ("3", 0)]
        sums = connection.execute(select(STATISTICS).order_by(STATISTICS.c.prototype)).all()
    assert [(row[2], row[3], row[5]) for row in sums] == [(0, 1, 36.0), (1, 2, 20.0)]
    np.testing.assert_array_equal(np.frombuffer(sums[1][4], "<f8"), [3.0] * 4)


def test_threads_that_record_together_lose_nothing(database: Database) -> None:
    recording, id_ = Recording(database), enrolled(Devices(database))
    batches = [[assignment(id_, f"{t}-{n}", n % 3) for n in range(6)] for t in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert [one for outcome in threads.map(recording.commit, batches) for one in outcome] == [None] * 24
    with database.reading() as connection:
        assert connection.execute(select(func.sum(STATISTICS.c["count"]))).scalar_one() == 24


def test_what_cannot_be_recorded_is_refused_whole(database: Database) -> None:
    recording, id_ = Recording(database), enrolled(Devices(database))
    outcomes = recording.commit([assignment(id_, "1"), assignment("nobody", "1")])
    assert [type(one) for one in outcomes] == [Overloaded, Overloaded]
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(ASSIGNMENTS)).scalar_one() == 0


def test_the_audit_trail_is_only_added_to(database: Database) -> None:
    enrolled(Devices(database))
    for statement in (delete(AUDIT), text("UPDATE audit SET who = 'x'")):
        with pytest.raises(Overloaded) as caught, database.writing() as connection:
            connection.execute(statement)
        assert "only added to" in str(caught.value.__cause__)
    assert len(trail(database)) == 2


def test_replicas_that_start_together_do_not_clash(url: str) -> None:
    def started(_: int) -> None:
        Database(url).close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(started, range(4)))
    database = Database(url)
    with database.reading() as connection:
        assert connection.execute(text("SELECT version FROM migrations")).scalars().all() == [1]
    with database.writing() as connection:
        connection.execute(text("INSERT INTO migrations VALUES (99, 0)"))
    database.close()
    with pytest.raises(ServiceError, match="migration 99"):
        Database(url)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nonsense", "a database URL is"),
        ("mysql://me:hidden@host/x", "a database URL is"),
        ("sqlite://", "forgets everything"),
        ("sqlite:///no/such/folder/state.db", "cannot be used"),
        ("postgresql://me:hidden@/x?host=no-such-folder", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_had_is_said_without_its_password(wrong: str, said: str) -> None:
    with pytest.raises(ServiceError, match=said) as caught:
        Database(wrong)
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ServiceError, match="cannot be used"):
        Database(f"sqlite:///{path}")
