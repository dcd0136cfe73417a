"""The jobs in DataFusion, through its Python package. It cannot do J4: nothing tells the line of a bad record."""

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

from peers.arrow_types import LINEITEM_SCHEMA, TYPES
from peers.job import Job, run
from schemas import EVENTS, LAST_SHIPDATE, nested

WRITE = "STORED AS PARQUET{partitions} OPTIONS ('format.compression' 'zstd(3)')"
# Eight times the default: J1 takes a tenth less time, and J2, which splits each batch among 84 writers, a third less.
BATCH_ROWS = 65_536
REVENUE = "l_extendedprice * (1 - l_discount) AS revenue"
FILTER = f"l_shipdate <= DATE '{LAST_SHIPDATE}'"


def connect(job: Job) -> SessionContext:
    return SessionContext(SessionConfig().with_target_partitions(job.threads).with_batch_size(BATCH_ROWS))


def lineitem(job: Job) -> SessionContext:
    context = connect(job)
    compression = {"file_compression_type": "gzip", "file_extension": ".gz"} if job.source.endswith(".gz") else {}
    context.register_csv("lineitem", job.source, schema=LINEITEM_SCHEMA, has_header=True, **compression)
    return context


def one_file(job: Job) -> None:
    select = f"SELECT *, {REVENUE} FROM lineitem WHERE {FILTER}"
    lineitem(job).sql(f"COPY ({select}) TO '{job.file}' {WRITE.format(partitions='')}").collect()


def partitioned(job: Job) -> None:
    month = "date_part('year', l_shipdate) AS l_shipyear, date_part('month', l_shipdate) AS l_shipmonth"
    select = f"SELECT *, {REVENUE}, {month} FROM lineitem WHERE {FILTER}"
    write = WRITE.format(partitions=" PARTITIONED BY (l_shipyear, l_shipmonth)")
    lineitem(job).sql(f"COPY ({select}) TO '{job.table}/' {write}").collect()


def events(job: Job) -> None:
    def value(path: str) -> str:
        top, *below = path.split(".")
        return f'"{top}"' + "".join(f"['{name}']" for name in below)

    context = connect(job)
    fields = nested(EVENTS, lambda column: TYPES[column.sql_type], lambda below: pa.struct(list(below.items())))
    context.register_json("events", job.source, schema=pa.schema(list(fields.items())), file_extension=".ndjson")
    select = ", ".join(f'{value(column.path)} AS "{column.name}"' for column in EVENTS)
    context.sql(f"COPY (SELECT {select} FROM events) TO '{job.file}' {WRITE.format(partitions='')}").collect()


if __name__ == "__main__":
    run({"J1": one_file, "J2": partitioned, "J3": events, "J5": one_file})
