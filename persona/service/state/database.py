"""One database by URL: SQLite in a file, or PostgreSQL. Every change is a transaction that is on disk when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from persona.errors import Overloaded, ServiceError
from persona.service.state.migrations import migrate

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_BUSY_S = 5

log = logging.getLogger("persona.service")

# FULL: a power cut right after a reply must not lose what the reply stands for. Commits are shared by many requests.
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_S * 1000}")


class Database:
    """Connections to one database whose tables are as this release wants them. Threads may share it."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        """Open it and apply the migrations that it lacks.

        ServiceError where the URL names no such database or it cannot be had. A password in the URL is not repeated.
        """
        self.clock = clock
        self._engine = _engine(url)
        self._where = self._engine.url.render_as_string(hide_password=True)
        try:
            with self.writing() as connection:
                migrate(connection, clock())
        except Overloaded as error:
            self.close()
            raise ServiceError(f"database {self._where} cannot be used: {error.__cause__}") from error
        except ServiceError:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Hold a connection that changes nothing; Overloaded where there is none now."""
        with self._answering(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Hold one transaction, on disk at the block's end or undone; Overloaded where that cannot be had now."""
        with (
            self._answering(),
            self._engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection

    def insert_new(
        self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
    ) -> set[tuple[Any, ...]]:
        """Insert rows whose primary key is not there yet, and return the keys of those that are new."""
        made = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
        new = made.values(list(rows)).on_conflict_do_nothing().returning(*table.primary_key.columns)
        return {tuple(row) for row in connection.execute(new)}

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            # What the database says may hold values of a row: it is for the log, not for a client.
            log.error("the database does not answer: %s", error)
            raise Overloaded("the service's database does not answer now; ask again") from error


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.drivername]
    except (SQLAlchemyError, KeyError):
        raise ServiceError("a database URL is sqlite:///FILE or postgresql://user@host/name; this is neither") from None
    if driver == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ServiceError("a database in memory forgets everything; name a file: sqlite:///FILE")
        engine = create_engine(parsed, connect_args={"timeout": _BUSY_S}, hide_parameters=True)
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        return engine
    arguments = {"connect_timeout": _BUSY_S, "options": f"-c statement_timeout={2 * _BUSY_S}s"}
    return create_engine(
        parsed.set(drivername=driver), connect_args=arguments, pool_pre_ping=True, hide_parameters=True
    )


def _configure(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin transactions by rules of its own, and none for DDL
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A transaction that takes its lock late fails where another has written meanwhile, whatever the timeout.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
