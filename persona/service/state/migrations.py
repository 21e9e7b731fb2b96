"""How the tables came to be: numbered steps, each applied once, all under one lock and in one transaction.

A step that has been released is never changed. What SQLite and PostgreSQL call differently stands in braces.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from persona.errors import ServiceError

# Any number that all replicas share and nobody else uses for an advisory lock.
_LOCK = 0x706572736F6E61

_WORDS = {
    "sqlite": {"bytes": "BLOB", "real": "REAL", "number": "INTEGER PRIMARY KEY AUTOINCREMENT"},
    "postgresql": {
        "bytes": "BYTEA",
        "real": "DOUBLE PRECISION",
        "number": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    },
}
_APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER audit_keeps BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only added to'); END",
        "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is only added to'); END",
    ),
    "postgresql": (
        (
            "CREATE FUNCTION audit_stays() RETURNS trigger AS "
            "$$ BEGIN RAISE EXCEPTION 'audit is only added to'; END $$ LANGUAGE plpgsql"
        ),
        "CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_stays()",
    ),
}
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        (
            "CREATE TABLE devices (id TEXT PRIMARY KEY, public {bytes} NOT NULL, device_group TEXT NOT NULL, "
            "enrolled_s {real} NOT NULL, revoked_s {real}, seen_s {real})"
        ),
        (
            "CREATE TABLE enrolment_tokens (hash TEXT PRIMARY KEY, device_group TEXT NOT NULL, "
            "expires_s {real} NOT NULL, "
            "used_by TEXT)"
        ),
        (
            "CREATE TABLE assignments (device TEXT NOT NULL REFERENCES devices (id), nonce TEXT NOT NULL, "
            "bundle TEXT NOT NULL, bank_version INTEGER NOT NULL, prototype INTEGER NOT NULL, "
            "assigned_s {real} NOT NULL, "
            "PRIMARY KEY (device, nonce))"
        ),
        (
            "CREATE TABLE code_statistics (bundle TEXT NOT NULL, "
            "bank_version INTEGER NOT NULL, "
            "prototype INTEGER NOT NULL, count BIGINT NOT NULL, total {bytes} NOT NULL, squares {real} NOT NULL, "
            "PRIMARY KEY (bundle, bank_version, prototype))"
        ),
        (
            "CREATE TABLE audit (number {number}, at_s {real} NOT NULL, who TEXT NOT NULL, "
            "what TEXT NOT NULL, "
            "subject TEXT NOT NULL)"
        ),
    ),
)


def migrate(connection: Connection, now_s: float) -> None:
    """Apply what is missing, in the connection's transaction; ServiceError where a newer release was here before."""
    dialect = connection.dialect.name
    if dialect == "postgresql":  # SQLite's transaction has the only lock from its beginning
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    connection.execute(
        text("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_s DOUBLE PRECISION)")
    )
    done = connection.execute(text("SELECT COALESCE(MAX(version), 0) FROM migrations")).scalar_one()
    if done > len(_STEPS):
        raise ServiceError(
            f"the database is of migration {done}, this release knows {len(_STEPS)}; run a release as new as the newest"
        )
    for version, step in enumerate(_STEPS[done:], done + 1):
        more = _APPEND_ONLY[dialect] if version == 1 else ()
        for statement in (*(line.format(**_WORDS[dialect]) for line in step), *more):
            connection.exec_driver_sql(statement)
        values = {"version": version, "now": now_s}
        connection.execute(text("INSERT INTO migrations VALUES (:version, :now)"), values)
