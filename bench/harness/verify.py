"""Says what the output of a job holds, as counts and sums of each column, read with DuckDB.

`python -m harness.verify expect JOB SOURCE` reads the source file, `… table JOB FOLDER` a system's Parquet files.
Both print JSON, which must be the same.
"""

import json
import sys

import duckdb

from harness.data import DAMAGED_AT, DAMAGED_EVERY
from schemas import EVENTS, LAST_SHIPDATE, LINEITEM, Column, nested

DERIVED = [Column("revenue", "DECIMAL(18,4)", "revenue")]
DAMAGED_LINE = f"(line - 2) % {DAMAGED_EVERY} = {DAMAGED_AT}"
PARTITIONS = [Column("l_shipyear", "INTEGER", "l_shipyear"), Column("l_shipmonth", "INTEGER", "l_shipmonth")]


def columns(job: str) -> list[Column]:
    """The columns of the job's output."""
    if job == "J3":
        return EVENTS
    return LINEITEM + DERIVED + (PARTITIONS if job == "J2" else [])


def measure(job: str, relation: str) -> dict:
    """Counts and sums, of values as the job's types have them, whatever narrower or wider type a system chose.

    The sums of hashes hold every value; the sum over whole rows also holds which values stand together.
    """
    names = [column.name for column in columns(job)]
    values = ", ".join(f'CAST("{column.name}" AS {column.sql_type}) AS "{column.name}"' for column in columns(job))
    sums = ", ".join(f'[count("{name}"), sum(hash("{name}")::HUGEINT)]' for name in names)
    row = ", ".join(f'"{name}"' for name in names)
    query = f"SELECT count(*), sum(hash({row})::HUGEINT), {sums} FROM (SELECT {values} FROM {relation})"
    rows, row_sum, *column_sums = duckdb.execute(query).fetchone()
    texts = [[count, str(hashes)] for count, hashes in column_sums]
    return {"rows": rows, "row_hashes": str(row_sum), "columns": dict(zip(names, texts, strict=True))}


def source(job: str, path: str) -> str:
    """The job, done by DuckDB from texts: nothing is left to the readers' own conversions."""
    if job == "J3":
        texts = nested(EVENTS, lambda column: "VARCHAR", lambda fields: json.dumps(fields))
        types = ", ".join(f"'{name}': 'JSON'" for name in texts)

        def value(column: Column) -> str:
            top, _, below = column.path.partition(".")
            return f'"{top}" ->> \'$' + (f".{below}'" if below else "'") + f' AS "{column.name}"'

        select = ", ".join(map(value, EVENTS))
        return f"(SELECT {select} FROM read_json('{path}', format = 'newline_delimited', columns = {{{types}}}))"
    types = ", ".join(f"'{column.name}': 'VARCHAR'" for column in LINEITEM)
    read = f"read_csv('{path}', header = true, auto_detect = false, delim = ',', quote = '\"', columns = {{{types}}})"
    revenue = "l_extendedprice::DECIMAL(15,2) * (1 - l_discount::DECIMAL(15,2)) AS revenue"
    month = "year(l_shipdate::DATE) AS l_shipyear, month(l_shipdate::DATE) AS l_shipmonth"
    # J4's bad records are damaged copies of these: expected are all the others.
    rows = f"SELECT *, {revenue}, {month}, row_number() OVER () + 1 AS line FROM {read}"
    where = f"l_shipdate::DATE <= DATE '{LAST_SHIPDATE}'"
    if job == "J4":
        where += f" AND NOT {DAMAGED_LINE}"
    return f"(SELECT * FROM ({rows}) WHERE {where})"


def table(job: str, folder: str) -> str:
    """A system's Parquet files, whose names do not begin with `_` or `.`, partition columns included."""
    files = sorted(
        name
        for (name,) in duckdb.execute(f"SELECT file FROM glob('{folder}/**/*.parquet')").fetchall()
        if not any(part[0] in "_." for part in name.removeprefix(folder).strip("/").split("/"))
    )
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in files)
    return f"read_parquet([{listed}], hive_partitioning = {str(job == 'J2').lower()})"


def damaged_lines(path: str) -> dict:
    """How many records of the source are damaged, and on which lines."""
    with open(path, "rb") as file:
        lines = [line for line, _ in enumerate(file, 1) if line > 1 and (line - 2) % DAMAGED_EVERY == DAMAGED_AT]
    return {"rejects": len(lines), "reject_lines": sum(lines)}


def rejects(path: str) -> dict:
    """How many records a system rejected, and on which lines."""
    if path.endswith(".parquet"):
        relation, reason = f"read_parquet('{path}')", "reason"
    else:
        types = "{'line': 'BIGINT', 'message': 'VARCHAR'}"
        relation, reason = f"read_json('{path}', format = 'newline_delimited', columns = {types})", "message"
    lines = duckdb.execute(f"SELECT DISTINCT line FROM {relation} WHERE {reason} IS NOT NULL").fetchall()
    return {"rejects": len(lines), "reject_lines": sum(line for (line,) in lines)}


def main(what: str, job: str, path: str, rejects_path: str = "") -> None:
    relation = source(job, path) if what == "expect" else table(job, path)
    found = measure(job, relation)
    if job == "J4":
        if what == "expect":
            found |= damaged_lines(path)
        else:
            found |= rejects(rejects_path)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
