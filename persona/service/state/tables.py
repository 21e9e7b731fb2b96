"""The tables as queries name them. What makes them is in migrations.py: a change here comes with a new one there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, MetaData, Table, Text

_METADATA = MetaData()

# `id` is the key's; `public` 32 bytes; times in seconds since 1970.
DEVICES = Table(
    "devices",
    _METADATA,
    Column("id", Text, primary_key=True),
    Column("public", LargeBinary),
    Column("device_group", Text),
    Column("enrolled_s", Float),
    Column("revoked_s", Float),
    Column("seen_s", Float),
)
# `hash` is the token's sha256; the token itself is nowhere.
TOKENS = Table(
    "enrolment_tokens",
    _METADATA,
    Column("hash", Text, primary_key=True),
    Column("device_group", Text),
    Column("expires_s", Float),
    Column("used_by", Text),
)
# One row a request that was answered; device and nonce together name a request, so no row comes twice.
ASSIGNMENTS = Table(
    "assignments",
    _METADATA,
    Column("device", Text, primary_key=True),
    Column("nonce", Text, primary_key=True),
    Column("bundle", Text),
    Column("bank_version", Integer),
    Column("prototype", Integer),
    Column("assigned_s", Float),
)
# Sums over the codes of a prototype: they merge by addition. `total` is float64, little-endian.
STATISTICS = Table(
    "code_statistics",
    _METADATA,
    Column("bundle", Text, primary_key=True),
    Column("bank_version", Integer, primary_key=True),
    Column("prototype", Integer, primary_key=True),
    Column("count", BigInteger),
    Column("total", LargeBinary),
    Column("squares", Float),
)
# Rows are added and never changed: triggers refuse anything else.
AUDIT = Table(
    "audit",
    _METADATA,
    Column("number", BigInteger, primary_key=True),
    Column("at_s", Float),
    Column("who", Text),
    Column("what", Text),
    Column("subject", Text),
)
