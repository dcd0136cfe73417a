"""The jobs in Polars, on its streaming engine."""

import polars as pl

from peers.job import Job, run
from schemas import EVENTS, LAST_SHIPDATE, LINEITEM, Column, nested

TYPES = {
    "TINYINT": pl.Int8,
    "INTEGER": pl.Int32,
    "BIGINT": pl.Int64,
    "DOUBLE": pl.Float64,
    "BOOLEAN": pl.Boolean,
    "VARCHAR": pl.String,
    "DATE": pl.Date,
    "TIMESTAMP": pl.Datetime("us"),
    "DECIMAL(15,2)": pl.Decimal(15, 2),
}
WRITE = {"compression": "zstd", "compression_level": 3, "maintain_order": False, "engine": "streaming"}
FILTER = pl.col("l_shipdate") <= pl.lit(LAST_SHIPDATE).str.to_date()
# A product has the larger scale of its factors, so one of them needs all four digits.
REVENUE = (
    (pl.col("l_extendedprice").cast(pl.Decimal(18, 4)) * (1 - pl.col("l_discount")))
    .cast(pl.Decimal(18, 4))
    .alias("revenue")
)


def lineitem(job: Job) -> pl.LazyFrame:
    schema = {column.name: TYPES[column.sql_type] for column in LINEITEM}
    return pl.scan_csv(job.source, schema=schema).filter(FILTER).with_columns(REVENUE)


def one_file(job: Job) -> None:
    lineitem(job).sink_parquet(job.file, **WRITE)


def partitioned(job: Job) -> None:
    year, month = (
        pl.col("l_shipdate").dt.year().alias("l_shipyear"),
        pl.col("l_shipdate").dt.month().alias("l_shipmonth"),
    )
    folders = pl.PartitionBy(job.table, key=["l_shipyear", "l_shipmonth"], include_key=False)
    lineitem(job).with_columns(year, month).sink_parquet(folders, mkdir=True, **WRITE)


def with_rejects(job: Job) -> None:
    texts = pl.scan_csv(
        job.source,
        schema={column.name: pl.String for column in LINEITEM},
        row_index_name="line",
        # The header is line 1, and no field holds a line end.
        row_index_offset=2,
    )
    typed = texts.with_columns(
        pl.col(column.name).cast(TYPES[column.sql_type], strict=False).alias(f"{column.name}:typed")
        if column.sql_type != "DATE"
        else pl.col(column.name).str.to_date("%Y-%m-%d", strict=False).alias(f"{column.name}:typed")
        for column in LINEITEM
        if column.sql_type != "VARCHAR"
    )
    checked = [column.name if column.sql_type == "VARCHAR" else f"{column.name}:typed" for column in LINEITEM]
    is_bad = pl.any_horizontal(pl.col(name).is_null() for name in checked)
    faults = [
        pl.when(pl.col(name).is_null()).then(pl.lit("no valid " + name.removesuffix(":typed"))) for name in checked
    ]
    names = [column.name for column in LINEITEM]
    rejects = typed.filter(is_bad).select("line", pl.coalesce(faults).alias("reason"), *names)
    accepted = typed.filter(~is_bad).select(
        pl.col(name).alias(column.name) for name, column in zip(checked, LINEITEM, strict=True)
    )
    accepted = accepted.filter(FILTER).with_columns(REVENUE)
    sinks = [accepted.sink_parquet(job.file, lazy=True, **WRITE), rejects.sink_parquet(job.rejects, lazy=True, **WRITE)]
    pl.collect_all(sinks, engine="streaming")


def events(job: Job) -> None:
    def source_type(column: Column):
        return pl.String if column.sql_type == "TIMESTAMP" else TYPES[column.sql_type]

    def value(column: Column) -> pl.Expr:
        top, *below = column.path.split(".")
        expression = pl.col(top)
        for name in below:
            expression = expression.struct.field(name)
        if column.sql_type == "TIMESTAMP":
            expression = expression.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us")
        return expression.alias(column.name)

    schema = nested(EVENTS, source_type, pl.Struct)
    pl.scan_ndjson(job.source, schema=schema).select(map(value, EVENTS)).sink_parquet(job.file, **WRITE)


if __name__ == "__main__":
    run({"J1": one_file, "J2": partitioned, "J3": events, "J4": with_rejects, "J5": one_file})
