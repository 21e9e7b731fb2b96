"""Databases to test on: SQLite in a file, and a PostgreSQL of this run's own where there are programs for one."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from persona.service.state import Database

ROOT = Path(__file__).resolve().parents[3]
NOW_S = 1_900_000_000.0


class Clock:
    """A clock that goes when it is told to."""

    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a PostgreSQL that ends with the tests."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as outer:  # short: a socket lies in it
        Path(outer).chmod(0o755)
        program = [str(ROOT / "scripts" / "postgres"), f"{outer}/db", "sh", "-c", 'echo "$PERSONA_DATABASE"; read _']
        running = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None
        url = running.stdout.readline().strip()
        if not url:
            assert running.wait() == 77, "PostgreSQL is here but does not start"
            pytest.skip("no PostgreSQL here: scripts/postgres finds no initdb and pg_ctl")
        try:
            yield url
        finally:
            running.communicate("over\n", timeout=30)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    found: str = request.getfixturevalue("postgres_url")
    database = Database(found)
    with database.writing() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    database.close()
    return found


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(url: str, clock: Clock) -> Iterator[Database]:
    database = Database(url, clock)
    yield database
    database.close()
