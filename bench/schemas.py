"""The columns that every system reads and writes, for the peers, the specs' checks and the comparison of outputs."""

from typing import NamedTuple


class Column(NamedTuple):
    """A column of the output: its name, its type as DuckDB calls it, and where it is in the source."""

    name: str
    sql_type: str
    path: str


def _flat(name: str, sql_type: str) -> Column:
    return Column(name, sql_type, name)


LINEITEM = [
    _flat("l_orderkey", "BIGINT"),
    _flat("l_partkey", "INTEGER"),
    _flat("l_suppkey", "INTEGER"),
    _flat("l_linenumber", "TINYINT"),
    _flat("l_quantity", "DECIMAL(15,2)"),
    _flat("l_extendedprice", "DECIMAL(15,2)"),
    _flat("l_discount", "DECIMAL(15,2)"),
    _flat("l_tax", "DECIMAL(15,2)"),
    _flat("l_returnflag", "VARCHAR"),
    _flat("l_linestatus", "VARCHAR"),
    _flat("l_shipdate", "DATE"),
    _flat("l_commitdate", "DATE"),
    _flat("l_receiptdate", "DATE"),
    _flat("l_shipinstruct", "VARCHAR"),
    _flat("l_shipmode", "VARCHAR"),
    _flat("l_comment", "VARCHAR"),
]

EVENTS = [
    Column("event_id", "BIGINT", "id"),
    Column("occurred_at", "TIMESTAMP", "ts"),
    Column("type", "VARCHAR", "type"),
    Column("session", "VARCHAR", "session"),
    Column("user_id", "BIGINT", "user.id"),
    Column("user_name", "VARCHAR", "user.name"),
    Column("user_email", "VARCHAR", "user.email"),
    Column("user_city", "VARCHAR", "user.address.city"),
    Column("user_country", "VARCHAR", "user.address.country"),
    Column("user_postcode", "VARCHAR", "user.address.postcode"),
    Column("device_os", "VARCHAR", "device.os"),
    Column("device_browser", "VARCHAR", "device.browser"),
    Column("device_mobile", "BOOLEAN", "device.mobile"),
    Column("page_path", "VARCHAR", "page.path"),
    Column("page_referrer", "VARCHAR", "page.referrer"),
    Column("duration_ms", "INTEGER", "duration_ms"),
    Column("amount", "DOUBLE", "amount"),
]

LAST_SHIPDATE = "1998-09-02"
"""The filter of TPC-H's first query: later lines are left out."""


def nested(columns: list[Column], leaf, node, prefix: str = "") -> dict:
    """The source's top-level fields: `leaf(column)` for a value, `node({field: …})` for an object."""
    fields: dict = {}
    for column in columns:
        name, dot, _ = column.path.removeprefix(prefix).partition(".")
        if not dot:
            fields[name] = leaf(column)
        elif name not in fields:
            below = f"{prefix}{name}."
            fields[name] = node(nested([c for c in columns if c.path.startswith(below)], leaf, node, below))
    return fields
