"""The jobs in DuckDB."""

import duckdb

from peers.job import Job, run
from schemas import EVENTS, LAST_SHIPDATE, LINEITEM, nested

WRITE = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3"
# Cast so that the product fits DECIMAL(18,4), which DuckDB computes in 64 bits; it is exact either way.
REVENUE = "l_extendedprice * (1 - l_discount)::DECIMAL(3,2) AS revenue"
FILTER = f"l_shipdate <= DATE '{LAST_SHIPDATE}'"


def connect(job: Job) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"SET threads = {job.threads}")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET temp_directory = '{job.output}/temp'")
    return connection


def lineitem(job: Job, options: str = "") -> str:
    columns = ", ".join(f"'{column.name}': '{column.sql_type}'" for column in LINEITEM)
    dialect = "header = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"'"
    return f"read_csv('{job.source}', {dialect}, columns = {{{columns}}}{options})"


def one_file(job: Job) -> None:
    connect(job).execute(f"COPY (SELECT *, {REVENUE} FROM {lineitem(job)} WHERE {FILTER}) TO '{job.file}' ({WRITE})")


def partitioned(job: Job) -> None:
    month = "year(l_shipdate) AS l_shipyear, month(l_shipdate) AS l_shipmonth"
    select = f"SELECT *, {REVENUE}, {month} FROM {lineitem(job)} WHERE {FILTER}"
    connect(job).execute(f"COPY ({select}) TO '{job.table}' ({WRITE}, PARTITION_BY (l_shipyear, l_shipmonth))")


def with_rejects(job: Job) -> None:
    connection = connect(job)
    source = lineitem(job, ", store_rejects = true, rejects_limit = 0")
    connection.execute(f"COPY (SELECT *, {REVENUE} FROM {source} WHERE {FILTER}) TO '{job.file}' ({WRITE})")
    rejects = "SELECT line, column_name, error_message AS reason, csv_line FROM reject_errors"
    connection.execute(f"COPY ({rejects}) TO '{job.rejects}' ({WRITE})")


def events(job: Job) -> None:
    def struct(fields: dict[str, str]) -> str:
        return "STRUCT(" + ", ".join(f'"{name}" {sql_type}' for name, sql_type in fields.items()) + ")"

    types = nested(EVENTS, lambda column: column.sql_type, struct)
    columns = ", ".join(f"'{name}': '{sql_type}'" for name, sql_type in types.items())
    select = ", ".join('"' + column.path.replace(".", '"."') + f'" AS "{column.name}"' for column in EVENTS)
    source = f"read_json('{job.source}', format = 'newline_delimited', columns = {{{columns}}})"
    connect(job).execute(f"COPY (SELECT {select} FROM {source}) TO '{job.file}' ({WRITE})")


if __name__ == "__main__":
    run({"J1": one_file, "J2": partitioned, "J3": events, "J4": with_rejects, "J5": one_file})
