"""Writes a log of events as NDJSON: `python -m harness.events FILE RECORDS`. The same number gives the same bytes."""

import sys

import duckdb

from schemas import EVENTS, nested

FIRST_NAMES = ["Ada", "Björn", "Chloé", "Dmitri", "Edsger", "Fatima", "Grace", "Hervé", "Ingrid", "José"]
LAST_NAMES = ["Lovelace", "Ångström", "Dubois", "O'Neil", "Dijkstra", "al-Fihri", "Hopper", "Müller", "Łukasik"]
CITIES = ["Zürich,CH", "São Paulo,BR", "Leeds,GB", "Kraków,PL", "Osaka,JP", "Austin,US", "Lyon,FR", "Cork,IE"]
SYSTEMS = ["Android", "iOS", "Linux", "macOS", "Windows"]
BROWSERS = ["Chrome", "Firefox", "Safari", "Edge"]
TYPES = ["view", "view", "view", "click", "search", "cart", "order"]


def random(salt: int, below: int) -> str:
    """An expression that spreads the row numbers `i` over `0..below`, the same in every version of every engine."""
    mixed = f"((i + {salt}) * 2654435761 % 4294967296)"
    return f"(xor({mixed}, {mixed} // 65536) % {below})"


def one_of(values: list[str], salt: int) -> str:
    texts = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"[{texts}][1 + {random(salt, len(values))}]"


FIRST, LAST, CITY = one_of(FIRST_NAMES, 11), one_of(LAST_NAMES, 12), one_of(CITIES, 13)
KIND = one_of(TYPES, 2)
NICKNAME = f"""CASE WHEN {random(14, 20)} = 0 THEN ' "' || {random(15, 100)} || '"' ELSE '' END"""
SHELF = random(17, 40)
REFERRER = f"printf('https://search.example/q?s=%d', {random(21, 900)})"

VALUES = {
    "event_id": "1000000000 + i",
    "occurred_at": "strftime(TIMESTAMP '2026-01-01' + to_milliseconds(i * 1043), '%Y-%m-%dT%H:%M:%S.%g')",
    "type": KIND,
    "session": f"printf('%08x-%06x', {random(3, 4_000_000_000)}, {random(4, 16_000_000)})",
    "user_id": random(5, 90_000),
    "user_name": f"{FIRST} || ' ' || {LAST} || {NICKNAME}",
    "user_email": f"printf('user%d@mail%d.example', {random(5, 90_000)}, {random(6, 50)})",
    "user_city": f"split_part({CITY}, ',', 1)",
    "user_country": f"split_part({CITY}, ',', 2)",
    "user_postcode": f"printf('%05d', {random(16, 100_000)})",
    "device_os": one_of(SYSTEMS, 7),
    "device_browser": one_of(BROWSERS, 8),
    "device_mobile": f"{random(9, 3)} = 0",
    "page_path": f"printf('/shop/%d/item-%d?ref=%x&lang=en', {SHELF}, {random(18, 20_000)}, {random(19, 5000)})",
    "page_referrer": f"CASE WHEN {random(20, 3)} > 0 THEN {REFERRER} END",
    "duration_ms": random(22, 60_000),
    "amount": f"CASE WHEN {KIND} = 'order' THEN {random(23, 100_000)} / 100 END",
}


def main(path: str, records: int) -> None:
    def struct(fields: dict[str, str]) -> str:
        return "{" + ", ".join(f"'{name}': {value}" for name, value in fields.items()) + "}"

    fields = nested(EVENTS, lambda column: VALUES[column.name], struct)
    select = ", ".join(f'{value} AS "{name}"' for name, value in fields.items())
    duckdb.execute(f"COPY (SELECT {select} FROM range({records}) rows(i)) TO '{path}' (FORMAT json)")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
